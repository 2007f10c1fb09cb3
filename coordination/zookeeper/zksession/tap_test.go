package zksession

import (
	"encoding/binary"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// packet is what a server sends about a request, or an event, with n bytes after that.
func packet(about uint32, n int) []byte {
	p := binary.BigEndian.AppendUint32(nil, uint32(4+n))
	return append(binary.BigEndian.AppendUint32(p, about), make([]byte, n)...)
}

// The lease counts from when that was sent which is answered, however late the answer is, and whatever else is read.
func TestAnAnswerIsAsOldAsItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire([]string{"a:1"}, newDialer(Config{}), nil)
		defer w.stop()
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c := &tap{Conn: ours, wire: w, server: w.turns.servers[0], first: make([]byte, connectResponse)}
		request := func() {
			go theirs.Read(make([]byte, 4))
			if _, err := c.Write(make([]byte, 4)); err != nil {
				t.Error(err)
			}
		}
		answer := func(what string, p []byte, silence time.Duration) {
			t.Helper()
			go theirs.Write(p)
			for n := 0; n < len(p); {
				k, err := c.Read(make([]byte, 5))
				if err != nil {
					t.Fatal(err)
				}
				n += k
			}
			if got, heard := w.silence(); got != silence || !heard {
				t.Errorf("%s: silent for %v, want %v", what, got, silence)
			}
		}
		time.Sleep(time.Second)
		request()
		time.Sleep(2 * time.Second)
		request()
		time.Sleep(4 * time.Second)
		answer("the first", packet(1, 100), 6*time.Second)
		answer("an event", packet(event, 30), 6*time.Second)
		answer("the second", packet(2, 0), 4*time.Second)
		answer("one for nothing", packet(7, 0), 4*time.Second)
		request()
		request()
		time.Sleep(time.Second)
		answer("two at once", append(packet(3, 9), packet(4, 9)...), time.Second)
	})
}

// What is no ZooKeeper server renews no session.
func TestAForeignAnswerIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire([]string{"a:1"}, newDialer(Config{}), nil)
		defer w.stop()
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c := &tap{Conn: ours, wire: w, server: w.turns.servers[0]}
		go theirs.Read(make([]byte, 4))
		time.Sleep(time.Second)
		if _, err := c.Write(make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		go theirs.Write([]byte("HTTP/1.1 400 Bad Request"))
		if _, err := c.Read(make([]byte, 64)); err == nil {
			t.Error("it passed")
		}
		if _, heard := w.silence(); heard {
			t.Error("it counts as an answer")
		}
	})
}
