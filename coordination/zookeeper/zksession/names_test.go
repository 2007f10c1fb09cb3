package zksession_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// names is a resolver with one name, whose addresses change.
type names struct {
	mu        sync.Mutex
	addresses []string // nil: the resolver does not answer
}

func (n *names) set(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = addresses
}

func (n *names) lookup(_ context.Context, host string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if host != "zk.test" || n.addresses == nil {
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	}
	return n.addresses, nil
}

// listenAt listens on one port of several loopback addresses.
func listenAt(t *testing.T, addresses ...string) []net.Listener {
	t.Helper()
	for range 20 {
		first := listen(t)
		port := first.Addr().(*net.TCPAddr).Port
		listeners := []net.Listener{first}
		for _, a := range addresses {
			l, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(port)))
			if err != nil {
				if errors.Is(err, syscall.EADDRNOTAVAIL) {
					t.Skipf("this machine has no address %s: %v", a, err)
				}
				break
			}
			t.Cleanup(func() { l.Close() })
			listeners = append(listeners, l)
		}
		if len(listeners) > len(addresses) {
			return listeners
		}
	}
	t.Fatal("found no port that is free on all addresses")
	return nil
}

func portOf(l net.Listener) string { return fmt.Sprint(l.Addr().(*net.TCPAddr).Port) }

// TestNameThatMoves: the server of a name goes to another address, and the session with it; then
// the resolver is away, and the session goes on with the addresses that are known.
func TestNameThatMoves(t *testing.T) {
	at := listenAt(t, "127.0.0.2")
	var n names
	n.set("127.0.0.1")
	p := testensemble.NewSilentProxy(t)
	p.Serve(at[0], ensemble.Servers[0].Addr)
	s := start(t, zksession.Config{Servers: []string{"zk.test:" + portOf(at[0])}, Lookup: n.lookup})

	at[0].Close()
	p.Serve(at[1], ensemble.Servers[1].Addr)
	n.set("127.0.0.2")
	p.Drop()
	if err := s.Sync(within(t, 15*time.Second), "/"); err != nil {
		t.Fatalf("after the name has moved: %v", err)
	}

	n.set()
	p.Drop()
	if err := s.Sync(within(t, 15*time.Second), "/"); err != nil {
		t.Fatalf("while the resolver is away: %v", err)
	}
	if p.Sessions() != 1 {
		t.Errorf("%d sessions, want 1", p.Sessions())
	}
	lives(t, s)
}

// TestNameOfSeveralServers: one name is the whole ensemble, and what is behind its first address
// accepts connections and says nothing.
func TestNameOfSeveralServers(t *testing.T) {
	at := listenAt(t, "127.0.0.2")
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		for {
			conn, err := at[0].Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	t.Cleanup(func() { at[0].Close(); <-silent })
	p := testensemble.NewSilentProxy(t)
	p.Serve(at[1], ensemble.Servers[0].Addr)
	var n names
	n.set("127.0.0.1", "127.0.0.2")
	s := start(t, zksession.Config{Servers: []string{"zk.test:" + portOf(at[0])}, Lookup: n.lookup})
	lives(t, s)
}

// TestNamesThatDoNotResolve: some are enough to go on with, none are told at once.
func TestNamesThatDoNotResolve(t *testing.T) {
	var n names
	_, port, err := net.SplitHostPort(ensemble.Servers[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	n.set("127.0.0.1")
	start(t, zksession.Config{Servers: []string{"gone.test:2181", "zk.test:" + port}, Lookup: n.lookup})
	n.set()
	_, err = zksession.Start(within(t, time.Minute), zksession.Config{Servers: []string{"zk.test:" + port}, Lookup: n.lookup})
	if dns := new(net.DNSError); !errors.As(err, &dns) {
		t.Errorf("Start: %v, want that the name does not resolve", err)
	}
}
