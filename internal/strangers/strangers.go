// Package strangers finds the connections to an HTTP port that never brought a request: net/http
// answers and closes them by itself, bounded as the server says, and tells nobody. It is a leaf,
// starts no goroutine and closes nothing.
package strangers

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
)

// Watch returns the listener that s is to serve in place of ln, so that tell is called for each
// connection that sent something, was closed, and whose sender no request could be read from. It
// takes s.ConnContext and s.ConnState, and wraps s.Handler. tell runs on the connection's
// goroutine.
func Watch(s *http.Server, ln net.Listener, tell func(from net.Addr)) net.Listener {
	s.Handler = served(s.Handler)
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) }
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if w, ok := c.(*conn); ok && state == http.StateClosed && w.heard.Load() && !w.served.Load() {
			tell(c.RemoteAddr())
		}
	}
	return listener{ln}
}

// conn knows whether what came over it was ever a request.
type conn struct {
	net.Conn
	heard, served atomic.Bool
}

// key finds it in the context of a request.
type key struct{}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// served notes on its connection that a request was read.
func served(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(key{}).(*conn); ok {
			c.served.Store(true)
		}
		next.ServeHTTP(w, r)
	})
}
