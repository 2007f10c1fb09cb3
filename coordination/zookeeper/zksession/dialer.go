package zksession

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"
)

// lookupPatience is how long a name's first look-up may take. Later ones, which may fall back
// on what it found, have as long as the connection.
const lookupPatience = 2 * time.Second

// dialer makes connections to servers by name. The name is looked up for each connection, since
// servers move. Of several addresses each connection takes the next: behind one name may be an
// ensemble, of which a server is frozen. For one goroutine.
type dialer struct {
	tls    *TLS
	names  *names
	log    *slog.Logger
	prefix string         // of settings, in messages
	tries  map[string]int // at each host
}

func newDialer(cfg Config) *dialer {
	return &dialer{tls: cfg.TLS, names: cfg.names, log: cfg.Logger, prefix: cfg.Prefix, tries: make(map[string]int)}
}

// dial connects to server, host:port, and returns when the session's handshake is to be over too:
// patience after the name was resolved.
func (d *dialer) dial(ctx context.Context, server string, patience time.Duration) (net.Conn, time.Time, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil, time.Time{}, err
	}
	address, err := d.address(ctx, host, patience)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("server %s does not resolve: %w", server, err)
	}
	deadline := time.Now().Add(patience)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(address, port))
	if err != nil || d.tls == nil {
		return conn, deadline, err
	}
	encrypted, err := d.tls.client(ctx, conn, server, host, d.prefix)
	if err != nil {
		conn.Close()
		return nil, deadline, err
	}
	return encrypted, deadline, nil
}

// address is the next one of a host. Where the name does not resolve just now, it is one of those
// that it had.
func (d *dialer) address(ctx context.Context, host string, patience time.Duration) (string, error) {
	tries, triedBefore := d.tries[host]
	if !triedBefore {
		tries = rand.IntN(256) // clients begin at several
		patience = max(patience, lookupPatience)
	}
	d.tries[host] = tries + 1
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	addresses, err := d.names.addresses(ctx, host)
	if len(addresses) == 0 {
		return "", err
	}
	if err != nil {
		d.log.Debug("zookeeper: a name does not resolve; going on with the addresses that it had", "host", host, "addresses", addresses, "error", err)
	}
	return addresses[tries%len(addresses)], nil
}
