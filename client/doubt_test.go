package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// network connects a client with handlers in memory, so that a test's clock can be synctest's: by address, what was dialed.
// Of a host that is lost nobody takes it.
type network map[string]chan net.Conn

func (n network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // package http's own contexts have no end
	defer cancel()
	here, there := net.Pipe()
	select {
	case n[address] <- there:
		return here, nil
	case <-ctx.Done(): // as if what is sent to the host came nowhere
		return nil, ctx.Err()
	}
}

// pipes is a net.Listener of what is dialed.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// host is a JobManager at an address; without a handler it is lost.
func (n network) host(t *testing.T, address string, h http.HandlerFunc) {
	conns := make(chan net.Conn)
	n[address] = conns
	if h == nil {
		return
	}
	s := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(pipes{conns, make(chan struct{})}) })
	t.Cleanup(func() { s.Close(); wg.Wait() })
}

// In a cluster of three, the first of which is lost, a client finds who leads well before its time for one try is over:
// one that knows all of them, and one that has been told of the lost one.
func TestLeaderWhoseHostIsLost(t *testing.T) {
	for _, c := range []struct {
		name    string
		locator func(c *fakeCluster) Locator
	}{
		{"all are known", func(*fakeCluster) Locator { return Fixed("a:1", "b:1", "c:1") }},
		{"coordination tells", func(f *fakeCluster) Locator { return tells{f} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				n := network{}
				n.host(t, "a:1", nil)
				for _, address := range []string{"b:1", "c:1"} {
					n.host(t, address, func(w http.ResponseWriter, r *http.Request) { f.serve(address, w, r) })
				}
				client := NewOver(n.dial, c.locator(f))
				t.Cleanup(func() { client.Close() })
				f.lead("a:1")
				time.AfterFunc(600*time.Millisecond, func() { f.lead("c:1") })
				began := time.Now()
				if _, err := client.Submit(t.Context(), Spec{ID: NewID()}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 600*time.Millisecond || took > time.Second { // of the bubble's clock
					t.Errorf("answered after %v", took)
				}
			})
		})
	}
}

// A leader that is slow is waited for, whoever else is there.
func TestSlowLeaderIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.lead("a:1")
		n := network{}
		asked := 0
		n.host(t, "a:1", func(w http.ResponseWriter, r *http.Request) {
			asked++
			time.Sleep(perTry - time.Millisecond) // of the bubble's clock
			f.serve("a:1", w, r)
		})
		n.host(t, "b:1", func(w http.ResponseWriter, r *http.Request) { f.serve("b:1", w, r) })
		client := NewOver(n.dial, Fixed("a:1", "b:1"))
		t.Cleanup(func() { client.Close() })
		if _, err := client.Submit(t.Context(), Spec{ID: NewID()}); err != nil || asked != 1 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
}

// What ended a try is told to who gives up.
func TestLeaderElsewhereIsTold(t *testing.T) {
	ctx, giveUp := context.WithCancelCause(t.Context())
	giveUp(errElsewhere)
	err := unreachable(ctx, "a:8081", request{}, context.Canceled)
	if !errors.Is(err, errElsewhere) || !strings.Contains(err.Error(), "a:8081") {
		t.Error(err)
	}
}

// tells is a Locator that knows who leads.
type tells struct{ *fakeCluster }

func (l tells) Addresses(context.Context) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return []string{l.leader}, nil
}

func (tells) Close() error { return nil }
