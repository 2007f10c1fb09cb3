package jobmanager

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/strangers"
)

// serveAPI answers HTTP until ctx ends.
func (jm *JobManager) serveAPI(ctx context.Context, ln net.Listener) {
	if jm.cfg.API == nil {
		ln.Close()
		return
	}
	server := &http.Server{
		Handler:           jm.cfg.API(jm),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(jm.log.Handler(), slog.LevelDebug),
	}
	ln = strangers.Watch(server, ln, func(from net.Addr) {
		jm.logger().Warn("closed a connection to the API port", "peer", from, "error", "what it sent is no HTTP request, or its head is too large")
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		jm.log.Error("the API has ended", "error", err)
	}
	wg.Wait()
}
