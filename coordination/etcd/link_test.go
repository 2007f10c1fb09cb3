package etcd_test

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc"
)

// link is a process's network: all its connections to the servers, which a test breaks.
type link struct {
	mu          sync.Mutex
	loseReplies bool
	cut         bool
	conns       map[*conn]bool
}

func newLink() *link { return &link{conns: map[*conn]bool{}} }

// dialing makes connections go through the link.
func (l *link) dialing() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithContextDialer(l.connect)}
}

func (l *link) connect(ctx context.Context, address string) (net.Conn, error) {
	inner, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, link: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = true
	return c, nil
}

// fail sets what the link does. What is lost stays lost: the connections that missed
// something are closed when it is mended.
func (l *link) fail(loseReplies, cut bool) (mend func()) {
	l.set(loseReplies, cut)
	return func() {
		l.set(false, false)
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			if c.missed {
				c.Conn.Close()
				delete(l.conns, c)
			}
		}
	}
}

func (l *link) set(loseReplies, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loseReplies, l.cut = loseReplies, cut
}

// conn is one connection of a link.
type conn struct {
	net.Conn
	link   *link
	missed bool // guarded by link.mu
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.drops(c.link.repliesLost) {
			return n, err
		}
	}
}

func (c *conn) Write(b []byte) (int, error) {
	if c.drops(c.link.requestsLost) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (l *link) repliesLost() bool  { return l.loseReplies || l.cut }
func (l *link) requestsLost() bool { return l.cut }

func (c *conn) drops(lost func() bool) bool {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.missed && !c.link.cut && !c.link.loseReplies {
		return true // about to be closed
	}
	dropped := lost()
	c.missed = c.missed || dropped
	return dropped
}
