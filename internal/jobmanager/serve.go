package jobmanager

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// serveAPI answers HTTP until ctx ends.
func (jm *JobManager) serveAPI(ctx context.Context, ln net.Listener) {
	if jm.cfg.API == nil {
		ln.Close()
		return
	}
	server := &http.Server{
		Handler:           served(jm.cfg.API(jm)),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(jm.log.Handler(), slog.LevelDebug),
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:         jm.noteStrangers,
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	if err := server.Serve(apiListener{ln}); !errors.Is(err, http.ErrServerClosed) {
		jm.log.Error("the API has ended", "error", err)
	}
	wg.Wait()
}

// apiConn knows what net/http does not tell: whether what came was ever a request.
type apiConn struct {
	net.Conn
	heard, served atomic.Bool
}

// connKey finds it in the context of a request.
type connKey struct{}

func (c *apiConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

type apiListener struct{ net.Listener }

func (l apiListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &apiConn{Conn: c}, nil
}

// served notes on its connection that a request could be read.
func served(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*apiConn); ok {
			c.served.Store(true)
		}
		next.ServeHTTP(w, r)
	})
}

// noteStrangers logs a connection that was closed because it never brought a request.
func (jm *JobManager) noteStrangers(c net.Conn, state http.ConnState) {
	if a, ok := c.(*apiConn); ok && state == http.StateClosed && a.heard.Load() && !a.served.Load() {
		jm.log.Warn("closed a connection to the API port", "peer", c.RemoteAddr(), "error", "what it sent is no HTTP request, or its head is too large")
	}
}
