package zookeeper

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// Defaults of a Config.
const (
	DefaultRoot           = "/perennial"
	DefaultClusterID      = "default"
	DefaultSessionTimeout = zksession.DefaultTimeout
)

// Config says which cluster on which ensemble. Only Servers has no default.
type Config struct {
	// Servers is the ensemble, "host[:port],[...]host[:port][/chroot]"; see
	// zksession.ParseServers.
	Servers string
	// Root is the node under which clusters lie, DefaultRoot if empty.
	Root string
	// ClusterID tells several clusters on one ensemble apart, DefaultClusterID if empty.
	ClusterID string
	// Paths are the nodes of the contract itself, relative to the cluster's.
	Paths Paths
	// SessionTimeout is asked for, DefaultSessionTimeout if zero. The ensemble grants what
	// its own limits allow, and that is what counts.
	SessionTimeout time.Duration
	// Warm is how often a member (Join) asks the ensemble for a sign of life, so that its claim finds an
	// awake path; it writes nothing. 0: never.
	Warm time.Duration
	// ACL says who may use the nodes that are made; ACLOpen if empty.
	ACL ACL
	// AuthFile is a file with one line, user:password, for the digest scheme; it is read when a
	// session begins. "": nobody in particular.
	AuthFile string
	// TLS is how connections are encrypted; nil: they are not.
	TLS *zksession.TLS
	// Lookup finds a host's addresses, for each connection anew; it is called by several goroutines at once. nil: the system's
	// resolver does. See zksession.Config.
	Lookup func(ctx context.Context, host string) ([]string, error)
	// Logger gets session changes; the library's own words go there at debug level.
	// slog.Default if nil.
	Logger *slog.Logger
}

// Paths names nodes relative to the cluster's. No key of a Term may lie at or below one of
// them. Empty ones have their defaults: epoch, leader, history and jobmanagers.
type Paths struct {
	Epoch, Leader, History, Members string
}

func (c Config) withDefaults() Config {
	c.ACL = cmp.Or(c.ACL, ACLOpen)
	c.Root = cmp.Or(c.Root, DefaultRoot)
	c.ClusterID = cmp.Or(c.ClusterID, DefaultClusterID)
	c.Paths.Epoch = cmp.Or(c.Paths.Epoch, "epoch")
	c.Paths.Leader = cmp.Or(c.Paths.Leader, "leader")
	c.Paths.History = cmp.Or(c.Paths.History, "history")
	c.Paths.Members = cmp.Or(c.Paths.Members, "jobmanagers")
	c.SessionTimeout = cmp.Or(c.SessionTimeout, DefaultSessionTimeout)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// session is what the config says about a session with these servers.
func (c Config) session(servers []string) zksession.Config {
	return zksession.Config{
		Servers: servers, Timeout: c.SessionTimeout, AuthFile: c.AuthFile, TLS: c.TLS, Lookup: c.Lookup, Prefix: "zookeeper.", Logger: c.Logger,
	}
}

// parse checks a config with its defaults, and returns its servers and its paths made absolute.
func (c Config) parse() ([]string, layout, error) {
	servers, chroot, err := zksession.ParseServers(c.Servers)
	if err != nil {
		return nil, layout{}, err
	}
	nodes, err := c.layout(chroot)
	if err != nil {
		return nil, layout{}, err
	}
	return servers, nodes, c.checkAccess()
}

func (c Config) layout(chroot string) (layout, error) {
	if c.Warm < 0 {
		return layout{}, fmt.Errorf("zookeeper: warm interval %v is negative", c.Warm)
	}
	if c.SessionTimeout < 0 {
		return layout{}, fmt.Errorf("zookeeper: session timeout %v is negative", c.SessionTimeout)
	}
	root := strings.Trim(c.Root, "/")
	if root != "" {
		if err := coordination.CheckKey(root); err != nil {
			return layout{}, fmt.Errorf("zookeeper: root %q: %w", c.Root, err)
		}
		root = "/" + root
	}
	if err := coordination.CheckKey(c.ClusterID); err != nil || strings.Contains(c.ClusterID, "/") {
		return layout{}, fmt.Errorf("zookeeper: cluster id %q: expected one name without a slash", c.ClusterID)
	}
	l := layout{base: chroot + root + "/" + c.ClusterID}
	if strings.HasPrefix(l.base, "/zookeeper/") {
		return layout{}, fmt.Errorf("zookeeper: the cluster's node would be %s, and what is in /zookeeper is ZooKeeper's own: choose another root", l.base)
	}
	for _, p := range []struct {
		what, relative string
		absolute       *string
	}{
		{"epoch", c.Paths.Epoch, &l.epoch},
		{"leader", c.Paths.Leader, &l.leader},
		{"history", c.Paths.History, &l.history},
		{"members", c.Paths.Members, &l.members},
	} {
		relative := strings.Trim(p.relative, "/")
		if err := coordination.CheckKey(relative); err != nil {
			return layout{}, fmt.Errorf("zookeeper: path of the %s %q: %w", p.what, p.relative, err)
		}
		path := l.base + "/" + relative
		if other := l.reservedBy(path); other != "" {
			return layout{}, fmt.Errorf("zookeeper: path of the %s %q overlaps with %s", p.what, p.relative, other)
		}
		*p.absolute = path
	}
	return l, nil
}
