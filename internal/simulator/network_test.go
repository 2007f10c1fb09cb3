package simulator

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/storage/objects"
	"github.com/perennial-io/perennial/internal/storage/storagetest"
)

// The disk is one that storage can be on.
func TestDisk(t *testing.T) {
	storagetest.Run(t, func(*testing.T) objects.Store { return view{newDisk(rand.New(rand.NewPCG(1, 1))), nil} })
}

// two are hosts with a process each, and the ends of a connection between them.
type two struct {
	*world
	a, b       *process
	ours, ends net.Conn
}

// connected runs a test in a bubble.
func connected(t *testing.T, test func(t *testing.T, w two)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{net: newNetwork(rand.New(rand.NewPCG(1, 1))), hosts: map[string]*host{}}
		a, b := w.newProcess(w.addHost("a", "10.0.0.1"), "a"), w.newProcess(w.addHost("b", "10.0.0.2"), "b")
		ln, err := w.net.listen(b)("tcp", "10.0.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ours, err := w.net.dial(a)(t.Context(), "tcp", "10.0.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		test(t, two{w, a, b, ours, theirs})
	})
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

// silent looks that nothing comes for a minute.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want a deadline", n, err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func ends(t *testing.T, c net.Conn, want error) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
		t.Fatalf("read: %v, want %v", err, want)
	}
}

func TestConnections(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, w two){
		"bytes arrive in order, and then the end": func(t *testing.T, w two) {
			write(t, w.ours, "one")
			write(t, w.ours, "two")
			w.ours.Close()
			read(t, w.ends, "onetwo")
			ends(t, w.ends, io.EOF)
		},
		"who writes to nobody is reset": func(t *testing.T, w two) {
			w.ends.Close()
			ends(t, w.ours, io.EOF)
			write(t, w.ours, "x")
			time.Sleep(time.Second)
			ends(t, w.ours, syscall.ECONNRESET)
			if _, err := w.ours.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("write after the reset: %v, want EPIPE", err)
			}
		},
		"one way is cut": func(t *testing.T, w two) {
			w.net.cut("a", "b")
			write(t, w.ours, "late")
			write(t, w.ends, "there")
			read(t, w.ours, "there")
			silent(t, w.ends)
			w.net.mend("a", "b")
			read(t, w.ends, "late")
		},
		"a killed process is reset": func(t *testing.T, w two) {
			w.net.silence(w.b, true)
			ends(t, w.ours, syscall.ECONNRESET)
			if _, err := w.net.dial(w.a)(t.Context(), "tcp", "10.0.0.2:80"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial: %v, want ECONNREFUSED", err)
			}
		},
		"a host without power says nothing, until it is back": func(t *testing.T, w two) {
			w.b.host.dark = true
			w.net.silence(w.b, false)
			silent(t, w.ours)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.net.dial(w.a)(ctx, "tcp", "10.0.0.2:80"); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("dial: %v, want a deadline", err)
			}
			w.net.lights(w.b.host)
			ends(t, w.ours, syscall.ECONNRESET)
		},
		"a frozen process neither hears nor speaks": func(t *testing.T, w two) {
			w.b.freeze(true)
			write(t, w.ours, "to it")
			write(t, w.ends, "from it")
			silent(t, w.ours)
			time.AfterFunc(time.Second, func() { w.b.freeze(false) })
			began := time.Now()
			read(t, w.ends, "to it")
			if time.Since(began) < time.Second {
				t.Error("it has read while it was frozen")
			}
			read(t, w.ours, "from it")
		},
		"a connection that breaks, breaks for both": func(t *testing.T, w two) {
			w.net.reset(w.a)
			ends(t, w.ours, syscall.ECONNRESET)
			ends(t, w.ends, syscall.ECONNRESET)
		},
	} {
		t.Run(name, func(t *testing.T) { connected(t, test) })
	}
}
