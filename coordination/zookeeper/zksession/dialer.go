package zksession

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// lookupPatience is how long a name's first look-up may take. Later ones, which may fall back
// on what it found, have as long as the connection.
const lookupPatience = 2 * time.Second

// dialer makes connections to servers by name. The name is looked up for each connection, since
// servers move. Which of several addresses is taken its user decides.
type dialer struct {
	tls    *TLS
	names  *names
	log    *slog.Logger
	prefix string // of settings, in messages
}

func newDialer(cfg Config) *dialer {
	return &dialer{tls: cfg.TLS, names: cfg.names, log: cfg.Logger, prefix: cfg.Prefix}
}

// addresses are those of a server, host:port, each with the port. Where the name does not resolve just now, they are
// those that it had.
func (d *dialer) addresses(ctx context.Context, server string, patience time.Duration) ([]string, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := d.names.addresses(ctx, host)
	if len(found) == 0 {
		return nil, fmt.Errorf("server %s does not resolve: %w", server, err)
	}
	if err != nil {
		d.log.Debug("zookeeper: a name does not resolve; going on with the addresses that it had", "host", host, "addresses", found, "error", err)
	}
	var all []string
	for _, a := range found {
		all = append(all, net.JoinHostPort(a, port))
	}
	return all, nil
}

// connect makes a connection to an address of server, until the deadline.
func (d *dialer) connect(ctx context.Context, server, address string, deadline time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || d.tls == nil {
		return conn, err
	}
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		conn.Close()
		return nil, err
	}
	encrypted, err := d.tls.client(ctx, conn, server, host, d.prefix)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return encrypted, nil
}
