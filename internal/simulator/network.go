package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// network is what lies between processes. Its mutex guards all connections, and nothing waits under it.
type network struct {
	tap *tap // hears what arrives; it is called under the mutex

	mu        sync.Mutex
	draw      *rand.Rand
	hosts     map[string]*host // by address
	listeners map[string]*listener
	conns     []*conn                       // that were not closed at both ends
	cuts      map[[2]string]int             // how many faults keep what the first host sends to the second
	slow      map[[2]string][]time.Duration // by how much faults delay it
	changed   chan struct{}                 // closed, and replaced, when a way has become free
	lastPort  int
	commands  map[[2]*host][][]byte // what JobManagers said to TaskManagers, the newest maxCommands, each as it was sent
}

// maxCommands bounds what can be repeated of one JobManager to one TaskManager.
const maxCommands = 64

// host is a machine, which outlives its processes.
type host struct {
	name, address string
	process       *process // the latest; nil before the first
	dark          bool     // without power: it answers nothing
}

func newNetwork(draw *rand.Rand) *network {
	return &network{
		draw: draw, hosts: map[string]*host{}, listeners: map[string]*listener{}, cuts: map[[2]string]int{},
		slow: map[[2]string][]time.Duration{}, changed: make(chan struct{}), lastPort: 40000, commands: map[[2]*host][][]byte{},
	}
}

// latency is how long the next message takes from one host to another. One in a hundred takes its time.
func (n *network) latency(from, to string) time.Duration {
	if from == to {
		return time.Duration(20+n.draw.IntN(30)) * time.Microsecond
	}
	d := time.Duration(100+n.draw.IntN(400)) * time.Microsecond
	if n.draw.IntN(100) == 0 {
		d += time.Duration(n.draw.IntN(20)) * time.Millisecond
	}
	for _, more := range n.slow[[2]string{from, to}] {
		d += more
	}
	return d
}

func (n *network) isCut(from, to string) bool { return n.cuts[[2]string{from, to}] > 0 }

// cut keeps what one host sends to another from arriving, until mend.
func (n *network) cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}]++
}

// mend ends one cut. What was sent meanwhile arrives, as TCP sends it again.
func (n *network) mend(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}]--
	n.free()
}

// delay makes each message from one host to another take longer, or ends that.
func (n *network) delay(from, to string, by time.Duration, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	way := [2]string{from, to}
	if on {
		n.slow[way] = append(n.slow[way], by)
		return
	}
	for i, d := range n.slow[way] {
		if d == by {
			n.slow[way] = append(n.slow[way][:i:i], n.slow[way][i+1:]...)
			return
		}
	}
}

// free lets pass what may. The mutex is held.
func (n *network) free() {
	close(n.changed)
	n.changed = make(chan struct{})
	for _, c := range n.conns {
		c.in.pump()
	}
}

// thaw wakes what waits for a process to go on.
func (n *network) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if !c.owner.frozen {
			c.flush()
		}
		c.in.signal()
	}
	for _, l := range n.listeners {
		l.signal()
	}
}

// silence has nothing of a process be heard any more. With reset its peers are told as a kernel tells them.
func (n *network) silence(p *process, reset bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.dead = true
	for address, l := range n.listeners {
		if l.owner == p {
			delete(n.listeners, address) // whoever accepts there waits, until it notices its own end
		}
	}
	for _, c := range n.conns {
		if c.owner == p {
			c.deaf = true
			c.in.signal()
			if reset {
				c.out.send(nil, syscall.ECONNRESET)
			}
		}
	}
	n.sweep()
}

// lights tells the peers of processes that died with their host that the host knows of no connection.
func (n *network) lights(h *host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h.dark = false
	for _, c := range n.conns {
		if c.owner.host == h && c.deaf {
			c.out.send(nil, syscall.ECONNRESET)
		}
	}
}

// reset breaks every connection of a process with other hosts, for both ends.
func (n *network) reset(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if c.owner == p && c.peer.owner.host != p.host {
			c.out.send(nil, syscall.ECONNRESET)
			c.peer.out.send(nil, syscall.ECONNRESET)
		}
	}
}

// remember keeps a command, whether it arrives or not. The mutex is held.
func (n *network) remember(p *pipe, b []byte) {
	from, to := p.from.host, p.to.host
	if !isRPC(p.reader) || !isCommand(b) || !to.isManager() {
		return
	}
	way := [2]*host{from, to}
	n.commands[way] = append(n.commands[way], bytes.Clone(b))
	if more := len(n.commands[way]) - maxCommands; more > 0 {
		n.commands[way] = n.commands[way][more:]
	}
}

// repeat has half of what a JobManager has commanded a TaskManager, in any of its lives, arrive over their present connection, if
// there is one: the model's "a message that could have been sent can be received at any time from then on, any number of times".
func (n *network) repeat(p *process, to *host) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if c.owner != p || p.frozen || c.deaf || c.peer.deaf || c.peer.owner != to.process || !isRPC(c) {
			continue
		}
		again := slices.Clone(n.commands[[2]*host{p.host, to}])
		for _, b := range again {
			if n.draw.IntN(2) == 0 {
				c.out.send(b, nil)
			}
		}
		return len(again) > 0
	}
	return false
}

// sweep forgets connections of which both ends are closed. The mutex is held.
func (n *network) sweep() {
	kept := n.conns[:0]
	for _, c := range n.conns {
		if !c.deaf || !c.peer.deaf {
			kept = append(kept, c)
		}
	}
	clear(n.conns[len(kept):])
	n.conns = kept
}

// listen is how a process opens a port.
func (n *network) listen(p *process) func(network, address string) (net.Listener, error) {
	return func(_, address string) (net.Listener, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.listeners[address] != nil {
			return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
		}
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return nil, err
		}
		l := &listener{n: n, owner: p, address: at, wake: make(chan struct{})}
		n.listeners[address] = l
		return l, nil
	}
}

// dial is how a process opens connections.
func (n *network) dial(p *process) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		c, err := n.connect(ctx, p, address)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
		return c, nil
	}
}

// connect goes there, looks who listens, and comes back with the answer.
func (n *network) connect(ctx context.Context, p *process, address string) (*conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	to := n.hosts[host]
	n.mu.Unlock()
	if to == nil {
		return nil, fmt.Errorf("%w: %s", syscall.EHOSTUNREACH, host)
	}
	if err := n.travel(ctx, p.host, to); err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[address]
	var c *conn
	if l != nil && !l.closed {
		c = n.pair(p, l)
	}
	n.mu.Unlock()
	if err := n.travel(ctx, to, p.host); err != nil {
		if c != nil {
			c.Close()
		}
		return nil, err
	}
	if c == nil {
		return nil, syscall.ECONNREFUSED
	}
	if err := p.pass(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// travel waits until a packet from one host has come to another.
func (n *network) travel(ctx context.Context, from, to *host) error {
	n.mu.Lock()
	d := n.latency(from.name, to.name)
	n.mu.Unlock()
	if err := sleep(ctx, d); err != nil {
		return err
	}
	for {
		n.mu.Lock()
		free, changed := !n.isCut(from.name, to.name) && !to.dark && !from.dark, n.changed
		n.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return lateness(ctx)
		}
	}
}

// lateness is the error of a dial whose context has ended.
func lateness(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return lateness(ctx)
	}
}

// pair makes both ends of a connection, and gives the listener the other one. The mutex is held.
func (n *network) pair(from *process, l *listener) *conn {
	n.lastPort++
	dialer := &net.TCPAddr{IP: net.ParseIP(from.host.address), Port: n.lastPort}
	ours, theirs := n.join(from, l.owner, dialer, l.address)
	l.waiting = append(l.waiting, theirs)
	l.signal()
	return ours
}

// join makes a connection of two processes. The mutex is held.
func (n *network) join(a, b *process, at, bt *net.TCPAddr) (*conn, *conn) {
	there, back := n.newPipe(a, b), n.newPipe(b, a)
	ours := &conn{n: n, owner: a, local: at, remote: bt, out: there, in: back}
	theirs := &conn{n: n, owner: b, local: bt, remote: at, out: back, in: there}
	ours.peer, theirs.peer = theirs, ours
	there.reader, back.reader = theirs, ours
	n.conns = append(n.conns, ours, theirs)
	return ours, theirs
}

// listener is an open port.
type listener struct {
	n       *network
	owner   *process
	address *net.TCPAddr
	waiting []*conn
	closed  bool
	wake    chan struct{}
}

func (l *listener) signal() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		l.n.mu.Lock()
		wake := l.wake
		switch {
		case l.closed:
			l.n.mu.Unlock()
			return nil, &net.OpError{Op: "accept", Net: "tcp", Err: net.ErrClosed}
		case len(l.waiting) > 0 && !l.owner.frozen:
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.n.mu.Unlock()
			return c, nil
		}
		l.n.mu.Unlock()
		<-wake
	}
}

// Close implements net.Listener. Who waits to be accepted is reset.
func (l *listener) Close() error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	if l.n.listeners[l.address.String()] == l {
		delete(l.n.listeners, l.address.String())
	}
	for _, c := range l.waiting {
		c.deaf = true
		c.out.send(nil, syscall.ECONNRESET)
	}
	l.waiting = nil
	l.signal()
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.address }
