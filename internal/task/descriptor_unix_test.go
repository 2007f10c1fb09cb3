//go:build unix

package task

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// TestLostDescriptor: a byte whose descriptor was dropped, as the kernel does when a process has
// none left, costs that one connection and not those that come after it.
func TestLostDescriptor(t *testing.T) {
	from, to := unixPair(t)
	if _, err := to.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := receiveConn(from); !errors.Is(err, errNotTaken) {
		t.Errorf("a byte alone: %v, want errNotTaken", err)
	}
	f, err := to.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := to.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(f.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	c, err := receiveConn(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), f.Close(), to.Close()); err != nil { // c and f are to again
		t.Fatal(err)
	}
	if _, err := receiveConn(from); err == nil || errors.Is(err, errNotTaken) {
		t.Errorf("a closed socket: %v, want an end", err)
	}
}

func unixPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}
