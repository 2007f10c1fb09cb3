// Package testproxy lies between a client and a server of TCP, and makes trouble: it delays, stalls, drips, loses and
// cuts. It knows nothing of what passes.
//
// It is for tests. A Proxy owns a goroutine that accepts and two for each connection; all have ended when Close returns.
package testproxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Trouble is what happens to the bytes of one direction. The zero value is none. It holds up no end of a connection before
// which no bytes wait, and nobody who dials: for a host of which nothing is heard any more there is testhosts.
type Trouble struct {
	Delay  time.Duration // of each piece of some bytes; those behind it wait with it
	Jitter time.Duration // at most so much is added to Delay
	Rate   int           // bytes per second; 0: as they come
	Stall  bool          // nothing passes, and nothing is lost
	// Lose throws bytes away. A connection that has lost some is cut when its trouble changes: what would follow made no
	// sense.
	Lose bool
}

// Proxy is one listener, and the connections through it.
type Proxy struct {
	server   string
	listener net.Listener
	running  sync.WaitGroup
	ctx      context.Context
	end      context.CancelFunc

	mu               sync.Mutex
	toServer, toUser Trouble
	changed          chan struct{} // closed at the next change of trouble
	links            map[*link]bool
}

// link is one connection of a client, with that to its server.
type link struct {
	client, server net.Conn
	lost           bool // something of it; guarded by the proxy's mutex
}

// New listens at an address, for a server at another. The caller closes it.
func New(listen, server string) (*Proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("a proxy for %s: %w", server, err)
	}
	p := &Proxy{server: server, listener: l, changed: make(chan struct{}), links: map[*link]bool{}}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where clients are to connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set begins trouble for the bytes to the server and for those from it, and ends what was before.
func (p *Proxy) Set(to, from Trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toServer, p.toUser = to, from
	close(p.changed)
	p.changed = make(chan struct{})
	for k := range p.links {
		if k.lost {
			k.cut()
		}
	}
}

// Cut resets every connection. New ones are served.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.links {
		k.cut()
	}
}

// Close ends the proxy and all connections through it.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.end()
	p.Cut()
	p.running.Wait()
	return err
}

// cut ends a link as the end of a process does that has not read everything: by a reset.
func (k *link) cut() {
	for _, c := range []net.Conn{k.client, k.server} {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.connect(client) })
	}
}

// connect serves one client. A server that refuses is told by a reset.
func (p *Proxy) connect(client net.Conn) {
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.server)
	if err != nil {
		(&link{client, client, false}).cut()
		return
	}
	k := &link{client: client, server: server}
	p.mu.Lock()
	p.links[k] = true
	if p.ctx.Err() != nil { // Close has passed by
		k.cut()
	}
	p.mu.Unlock()
	p.running.Go(func() { p.pass(k, k.client, k.server, &p.toServer) })
	p.pass(k, k.server, k.client, &p.toUser)
	p.mu.Lock()
	delete(p.links, k)
	p.mu.Unlock()
}

// pass hands on what comes from one end, until it ends; then both do.
func (p *Proxy) pass(k *link, from, to net.Conn, trouble *Trouble) {
	defer from.Close()
	defer to.Close()
	for buf := make([]byte, 32<<10); ; {
		n, err := from.Read(buf)
		if n > 0 && !p.hand(k, buf[:n], to, trouble) {
			return
		}
		if err != nil {
			return
		}
	}
}

// hand passes bytes on with the trouble that there is, a piece at a time.
func (p *Proxy) hand(k *link, bytes []byte, to net.Conn, trouble *Trouble) bool {
	for delayed := false; len(bytes) > 0; {
		p.mu.Lock()
		now, changed := *trouble, p.changed
		k.lost = k.lost || now.Lose
		p.mu.Unlock()
		piece := len(bytes)
		switch {
		case p.ctx.Err() != nil:
			return false
		case now.Lose:
			return true
		case now.Stall:
			p.wait(changed, nil)
			continue
		case !delayed && now.Delay+now.Jitter > 0:
			delayed = true // one that is told of in between changes nothing: the piece has waited
			p.after(changed, now.Delay+time.Duration(rand.Int64N(int64(now.Jitter)+1)))
			continue
		case now.Rate > 0:
			const beats = 20 // a second
			piece = min(piece, max(now.Rate/beats, 1))
			p.after(changed, time.Duration(piece)*time.Second/time.Duration(now.Rate))
		}
		if _, err := to.Write(bytes[:piece]); err != nil {
			return false
		}
		bytes = bytes[piece:]
	}
	return true
}

// after waits for so long, or until trouble changes.
func (p *Proxy) after(changed <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	p.wait(changed, timer.C)
}

func (p *Proxy) wait(changed <-chan struct{}, over <-chan time.Time) {
	select {
	case <-changed:
	case <-over:
	case <-p.ctx.Done():
	}
}

// All are several, of which the same is asked.
type All []*Proxy

// Set is each one's.
func (a All) Set(to, from Trouble) {
	for _, p := range a {
		p.Set(to, from)
	}
}

// Cut is each one's.
func (a All) Cut() {
	for _, p := range a {
		p.Cut()
	}
}

// Close is each one's.
func (a All) Close() error {
	var errs []error
	for _, p := range a {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
