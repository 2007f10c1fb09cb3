package zksession

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is accepted as a quorum names each server in full, and is read again as what it was.
func FuzzParseServers(f *testing.F) {
	f.Add("zk1:2181,[::1],[fe80::1%eth0]:2182/a/b")
	f.Add("zk1/")
	f.Fuzz(func(t *testing.T, list string) {
		servers, chroot, err := ParseServers(list)
		if err != nil {
			return
		}
		for _, s := range servers {
			if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
				t.Errorf("%q has the server %q: %v", list, s, err)
			}
		}
		again, path, err := ParseServers(strings.Join(servers, ",") + chroot)
		if err != nil || !slices.Equal(again, servers) || path != chroot {
			t.Errorf("%q is %q and %q, which is read as %q and %q: %v", list, servers, chroot, again, path, err)
		}
	})
}

// A first packet in pieces of any size is let pass only if its length is a ZooKeeper server's.
func FuzzGreeting(f *testing.F) {
	granted := append([]byte{0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 0x27, 0x10, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 21)...)
	f.Add(granted, 3)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n"), 1)
	f.Fuzz(func(t *testing.T, packet []byte, piece int) {
		w := newWire([]string{"a:1"}, newDialer(Config{}), nil)
		defer w.stop()
		c := &tap{wire: w}
		for rest := packet; len(rest) > 0; {
			n := min(max(piece, 1), len(rest))
			if c.greet(rest[:n]) != nil {
				return
			}
			rest = rest[n:]
		}
		if len(packet) >= 4 && (packet[0] != 0 || packet[1] != 0) {
			t.Errorf("the greeting %q passed", packet)
		}
		if bytes.Equal(packet, granted) && (w.timeout() != 10*time.Second || w.session.Load() != 0x0102030405060708) {
			t.Errorf("granted %v to session %#x", w.timeout(), w.session.Load())
		}
	})
}

// A server that leaves calls of a session unanswered is tried last in the election that may follow.
func TestServerThatIsLeftRests(t *testing.T) {
	w := newWire([]string{"a:1", "b:1"}, newDialer(Config{}), nil)
	defer w.stop()
	w.Next()
	frozen, pipe := w.trying, tapped(t)
	w.current = &tap{Conn: pipe, wire: w, server: frozen}
	w.established()
	w.leave(w.current)
	other, _ := w.turns.next(time.Now())
	w.turns.failed(other, closing, time.Now())
	for range 3 {
		if s, _ := w.turns.next(time.Now()); s == frozen {
			t.Fatal("the server that was left is tried while another may have a quorum at any moment")
		}
	}
	if _, err := pipe.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func tapped(t *testing.T) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	return ours
}
