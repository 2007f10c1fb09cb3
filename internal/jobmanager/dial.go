package jobmanager

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// dial opens a TCP connection, or gives up after timeout.
func (c *Config) dial(ctx context.Context, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.Dial(ctx, "tcp", address)
}

// isRefusal reports whether nobody listens at a dialed address.
func isRefusal(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// isEnd reports whether a peer has ended a connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
