package zksession

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// DefaultTimeout is the session timeout that is asked for where a Config says nothing.
const DefaultTimeout = 10 * time.Second

// Config says which ensemble, and who to be there. Only Servers has no default.
type Config struct {
	// Servers are the ensemble's, each as host:port. ParseServers reads them from a quorum string.
	Servers []string
	// Timeout of the session is asked for, DefaultTimeout if zero. The ensemble grants what its own
	// limits allow, and that is what counts: Session.Timeout.
	Timeout time.Duration
	// AuthFile is a file with one line, user:password, for the digest scheme; it is read when a
	// session begins. "": nobody in particular.
	AuthFile string
	// TLS is how connections are encrypted; nil: they are not.
	TLS *TLS
	// Lookup finds a host's addresses, for each connection anew; it is called by several goroutines at once. Where it
	// fails the session goes on with what it found before. nil: the system's resolver does, and where that fails
	// a session goes on with what any of this process has found before.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Prefix is what stands before the names of settings where a message says which to change: auth.file,
	// tls.enabled, tls.ca, tls.certificate, tls.server-name, tls.check-names. "zookeeper.", for instance.
	Prefix string
	// Logger gets the session's changes; the library's own words go there at debug level.
	// slog.Default if nil.
	Logger *slog.Logger

	names *names // made of Lookup
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Servers) == 0:
		return c, errors.New("zookeeper: no servers are named")
	case c.Timeout < 0:
		return c, fmt.Errorf("zookeeper: session timeout %v is negative", c.Timeout)
	}
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	if c.names = system; c.Lookup != nil {
		c.names = newNames(c.Lookup)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}
