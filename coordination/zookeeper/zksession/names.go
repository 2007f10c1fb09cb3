package zksession

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
)

// lookup finds a host's addresses.
type lookup = func(ctx context.Context, host string) ([]string, error)

// names looks hosts up, and remembers what it found, for when the resolver is away: that must not keep a process from
// an ensemble that it knows.
type names struct {
	look lookup

	mu    sync.Mutex
	known map[string][]string // addresses, sorted
}

func newNames(look lookup) *names { return &names{look: look, known: make(map[string][]string)} }

// system is the system's resolver, for every session of the process: one that follows another goes on with what that one
// has found.
var system = newNames(net.DefaultResolver.LookupHost)

// addresses are a host's, in an order that does not change: name servers turn the list. If there is an error as well they are
// those that the host had; without them it is unknown.
func (n *names) addresses(ctx context.Context, host string) ([]string, error) {
	if net.ParseIP(withoutZone(host)) != nil {
		return []string{host}, nil
	}
	found, err := n.look(ctx, host)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		n.known[host] = slices.Sorted(slices.Values(found))
	}
	return n.known[host], err
}
