package testproxy

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers each byte with itself, and tells of what arrives.
func echo(t *testing.T) (address string, arrived <-chan byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	bytes := make(chan byte, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for b := make([]byte, 1); ; {
					if _, err := c.Read(b); err != nil {
						return
					}
					bytes <- b[0]
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), bytes
}

// through is a proxy before an echo, and a connection through it.
func through(t *testing.T) (*Proxy, net.Conn, <-chan byte) {
	t.Helper()
	server, arrived := echo(t)
	p, err := New("127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); p.Close() })
	say(t, c, "a")
	if got := hear(t, c, 1); got != "a" {
		t.Fatalf("%q", got)
	}
	<-arrived
	return p, c, arrived
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// silent waits for nothing, for a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || !timeout(err) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func timeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestDelay(t *testing.T) {
	p, c, _ := through(t)
	p.Set(Trouble{Delay: 60 * time.Millisecond}, Trouble{Delay: 60 * time.Millisecond, Jitter: time.Millisecond})
	began := time.Now()
	say(t, c, "b")
	hear(t, c, 1)
	if took := time.Since(began); took < 120*time.Millisecond {
		t.Errorf("there and back in %v", took)
	}
}

func TestStallLosesNothing(t *testing.T) {
	p, c, arrived := through(t)
	p.Set(Trouble{}, Trouble{Stall: true})
	say(t, c, "bc")
	<-arrived
	<-arrived
	silent(t, c)
	p.Set(Trouble{}, Trouble{})
	if got := hear(t, c, 2); got != "bc" {
		t.Errorf("%q", got)
	}
}

func TestDrip(t *testing.T) {
	p, c, _ := through(t)
	p.Set(Trouble{Rate: 1000}, Trouble{})
	began := time.Now()
	say(t, c, string(make([]byte, 200)))
	hear(t, c, 200)
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("200 bytes at 1,000 a second in %v", took)
	}
}

// A reply is lost: the request was served, the client is told by a reset at last, and a new connection is served.
func TestLostReply(t *testing.T) {
	p, c, arrived := through(t)
	p.Set(Trouble{}, Trouble{Lose: true})
	say(t, c, "b")
	if b := <-arrived; b != 'b' {
		t.Errorf("%q arrived", b)
	}
	silent(t, c)
	p.Set(Trouble{}, Trouble{})
	ends(t, c)
	again, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	say(t, again, "c")
	hear(t, again, 1)
}

func TestCut(t *testing.T) {
	p, c, _ := through(t)
	p.Cut()
	ends(t, c)
}

func TestCloseWhileStalled(t *testing.T) {
	p, c, _ := through(t)
	p.Set(Trouble{Stall: true}, Trouble{Stall: true})
	say(t, c, "b")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	ends(t, c)
}

// ends waits for the end of a connection.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || timeout(err) {
		t.Errorf("%d bytes, %v: expected the end", n, err)
	}
}

// A client of a server that refuses is not left waiting.
func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p, err := New("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return // told already
	}
	defer c.Close()
	ends(t, c)
}
