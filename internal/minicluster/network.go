package minicluster

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
)

// network is what lies between JobManagers and TaskManagers: every connection that one of them
// dials goes through it.
type network struct {
	chronicle *chronicle

	mu        sync.Mutex
	listeners map[string]*process // by address, the latest
	cuts      map[[2]string]bool  // pairs of parts, in order of name
	conns     map[*conn]bool
	changed   chan struct{} // closed, and replaced, when a passage changes

	carriers sync.WaitGroup // goroutines of connections
}

func newNetwork(c *chronicle) *network {
	return &network{chronicle: c, listeners: map[string]*process{}, cuts: map[[2]string]bool{},
		conns: map[*conn]bool{}, changed: make(chan struct{})}
}

// passage is what happens to what is sent between two processes.
type passage int

const (
	free   passage = iota
	held           // it waits: the two are cut off from each other, or one is just being killed
	ending         // one of them is gone
)

// passage tells how things stand, and returns a channel that is closed when that changes.
func (n *network) passage(a, b *process) (passage, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case a.isGone() || b.isGone():
		return ending, n.changed
	case a.isSilent() || b.isSilent() || n.cuts[pair(a.part, b.part)]:
		return held, n.changed
	}
	return free, n.changed
}

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// change wakes who waits for a passage. The mutex is held.
func (n *network) change() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// setCut cuts two parts off from each other, or ends that.
func (n *network) setCut(a, b string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[pair(a, b)] = cut
	n.change()
}

func (n *network) isCut(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[pair(a, b)]
}

// silence lets nothing from or to p pass any more; nobody is told.
func (n *network) silence(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.silence()
	n.change()
}

// drain waits until what a process has sent that has ended has passed, where it is not cut off.
func (n *network) drain(p *process) {
	n.mu.Lock()
	conns := slices.Collect(maps.Keys(n.conns))
	n.mu.Unlock()
	for _, c := range conns {
		if way, _ := n.passage(c.from, c.to); c.from == p && way == free {
			<-c.carried
		}
	}
}

// remove ends the connections of a process that has ended.
func (n *network) remove(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.isGone() {
		close(p.gone)
		n.change()
	}
	for c := range n.conns {
		if c.from == p || c.to == p {
			c.sever()
		}
	}
}

// listen notes who is found at an address.
func (n *network) listen(address string, p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[address] = p
}

// dial is how a process opens connections.
func (n *network) dial(from *process) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		n.mu.Lock()
		to := n.listeners[address]
		n.mu.Unlock()
		refuse := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: network, Err: err} }
		if to == nil {
			return refuse(syscall.ECONNREFUSED)
		}
		for {
			way, changed := n.passage(from, to)
			if way == ending {
				return refuse(syscall.ECONNREFUSED)
			}
			if way == free {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return refuse(ctx.Err())
			}
		}
		raw, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return n.connect(from, to, raw), nil
	}
}

func (n *network) connect(from, to *process, raw net.Conn) *conn {
	c := newConn(n, from, to, raw)
	n.mu.Lock()
	n.conns[c] = true
	if from.isGone() || to.isGone() {
		c.sever()
	}
	n.mu.Unlock()
	n.carriers.Go(func() {
		c.carry()
		n.mu.Lock()
		delete(n.conns, c)
		n.mu.Unlock()
	})
	return c
}

// close ends every connection, and waits for their goroutines.
func (n *network) close() {
	n.mu.Lock()
	for c := range n.conns {
		c.sever()
	}
	n.mu.Unlock()
	n.carriers.Wait()
}
