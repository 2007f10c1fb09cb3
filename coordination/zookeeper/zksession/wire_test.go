package zksession

import (
	"bytes"
	"context"
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

// connected has the wire connect to the next server, over a pipe instead, and returns that and whether it was closed.
func connected(t *testing.T, w *wire) (c *tap, closed func() bool) {
	w.Next()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trying.behind.become([]string{w.trying.address})
	at, _ := w.trying.behind.next(time.Now())
	w.current, w.failures = &tap{Conn: ours, wire: w, server: w.trying, behind: at}, w.failures+1
	return w.current, func() bool { return errors.Is(ours.SetDeadline(time.Time{}), io.ErrClosedPipe) }
}

// A server that leaves calls of a session unanswered is tried last in the election that may follow.
func TestServerThatIsLeftRests(t *testing.T) {
	w := newWire([]string{"a:1", "b:1"}, newDialer(Config{}), nil)
	defer w.stop()
	c, closed := connected(t, w)
	w.established()
	w.leave(c)
	other, _ := w.turns.next(time.Now())
	w.turns.failed(other, closing, time.Now())
	for range 3 {
		if s, _ := w.turns.next(time.Now()); s == c.server {
			t.Fatal("the server that was left is tried while another may have a quorum at any moment")
		}
	}
	if !closed() {
		t.Error("the connection was not closed")
	}
}

// Of several addresses each connection takes the next, though name servers turn the list as well, and when they change what is known of
// those that stay is kept.
func TestAddressesInTurn(t *testing.T) {
	answer := []string{"10.0.0.2", "10.0.0.1"}
	d := newDialer(Config{names: newNames(func(context.Context, string) ([]string, error) {
		slices.Reverse(answer)
		return slices.Clone(answer), nil
	})})
	var tn turns
	taken := map[string]int{}
	next := func() *server {
		t.Helper()
		addresses, err := d.addresses(t.Context(), "zk:2181", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		tn.become(addresses)
		s, _ := tn.next(time.Now())
		taken[s.address]++
		return s
	}
	for range 6 {
		next()
	}
	if taken["10.0.0.1:2181"] != 3 || taken["10.0.0.2:2181"] != 3 {
		t.Errorf("taken: %v, want each three times", taken)
	}
	one := next()
	tn.failed(one, silent, time.Now())
	answer = append(answer, "10.0.0.3")
	next()
	if len(tn.servers) != 3 || !slices.Contains(tn.servers, one) || one.silences != 1 {
		t.Errorf("after a third has come: %v, of which %v was silent", tn.addresses(), *one)
	}
}
