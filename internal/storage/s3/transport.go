package s3

import (
	"context"
	"net"
	"net/http"
	"time"
)

// newTransport returns a transport whose connections are given up when nothing moves for so long as patience.
// It speaks HTTP/1.1: one request on a connection, so that the time is that request's.
func newTransport(patience time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: patience / 2, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return impatient{c, patience}, nil
		},
		TLSHandshakeTimeout: patience,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     patience / 2, // before the connection's own time is over
		DisableCompression:  true,         // an object is what its bytes are
	}
}

// impatient is a connection on which every read and every write gives both directions as much time again: a
// server may take its time to answer after a request has been written, or to take a request, but not for ever.
type impatient struct {
	net.Conn
	patience time.Duration
}

func (c impatient) Read(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c impatient) Write(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c impatient) extend() error { return c.SetDeadline(time.Now().Add(c.patience)) }
