package zookeeper

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

// lookup finds a host's addresses.
type lookup = func(ctx context.Context, host string) ([]string, error)

// lookupPatience is how long a name's first look-up may take. Later ones, which may fall back
// on what it found, have as long as the connection.
const lookupPatience = 2 * time.Second

// dialer makes connections to servers by name. The name is looked up for each connection, since
// servers move. Of several addresses each connection takes the next: behind one name may be an
// ensemble, of which a server is frozen. For one goroutine.
type dialer struct {
	tls    *TLS
	lookup lookup
	log    *slog.Logger
	names  map[string]*addresses
}

// addresses are what a name stood for last.
type addresses struct {
	known []string
	tries int
}

func newDialer(cfg Config) *dialer {
	return &dialer{tls: cfg.TLS, lookup: cfg.Lookup, log: cfg.Logger, names: make(map[string]*addresses)}
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
	encrypted, err := d.tls.client(ctx, conn, server, host)
	if err != nil {
		conn.Close()
		return nil, deadline, err
	}
	return encrypted, deadline, nil
}

// address is the next one of a host. Where the name does not resolve just now, it is one of those
// that it had.
func (d *dialer) address(ctx context.Context, host string, patience time.Duration) (string, error) {
	if net.ParseIP(withoutZone(host)) != nil {
		return host, nil
	}
	name := d.names[host]
	if name == nil {
		name = &addresses{tries: rand.IntN(256)} // clients begin at several
		d.names[host] = name
		patience = max(patience, lookupPatience)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := d.lookup(ctx, host)
	switch {
	case err == nil && len(found) > 0:
		name.known = slices.Sorted(slices.Values(found)) // name servers turn the list, which would undo tries
	case len(name.known) == 0 && err == nil:
		return "", fmt.Errorf("%s has no address", host)
	case len(name.known) == 0:
		return "", err
	default:
		d.log.Debug("zookeeper: a name does not resolve; going on with the addresses that it had", "host", host, "addresses", name.known, "error", err)
	}
	address := name.known[name.tries%len(name.known)]
	name.tries++
	return address, nil
}
