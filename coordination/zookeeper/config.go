package zookeeper

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/perennial-io/perennial/coordination"
)

// Defaults of a Config.
const (
	DefaultRoot           = "/perennial"
	DefaultClusterID      = "default"
	DefaultSessionTimeout = 10 * time.Second
)

// Config says which cluster on which ensemble. Only Servers has no default.
type Config struct {
	// Servers is the ensemble, "host:port,[...]host:port".
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
	c.Root = or(c.Root, DefaultRoot)
	c.ClusterID = or(c.ClusterID, DefaultClusterID)
	c.Paths.Epoch = or(c.Paths.Epoch, "epoch")
	c.Paths.Leader = or(c.Paths.Leader, "leader")
	c.Paths.History = or(c.Paths.History, "history")
	c.Paths.Members = or(c.Paths.Members, "jobmanagers")
	c.SessionTimeout = or(c.SessionTimeout, DefaultSessionTimeout)
	c.Logger = or(c.Logger, slog.Default())
	return c
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// layout checks the paths of a config with its defaults and returns them made absolute.
func (c Config) layout() (layout, error) {
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
	l := layout{base: root + "/" + c.ClusterID}
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
