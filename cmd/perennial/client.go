package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/config"
)

// withClient calls do with a client of the configured cluster.
func (g *global) withClient(ctx context.Context, do func(ctx context.Context, c *client.Client) error) error {
	conf, err := g.load()
	if err != nil {
		return err
	}
	c := client.New(locator(conf))
	defer c.Close()
	c.Waiting = func(reason error, until time.Time) { fmt.Fprintln(os.Stderr, "perennial: "+waits(reason, until)) }
	if err = do(ctx, c); err == nil || !errors.Is(err, errPatience) || unable(err) {
		return err
	}
	return fmt.Errorf("%w; is a JobManager started, and is it looked for in the right place? %s", err, whereabouts(conf))
}

// waits tells a person why nothing happens, and for how long at most.
func waits(reason error, until time.Time) string {
	on := "trying on"
	if !until.IsZero() {
		on += " until " + until.Local().Format(time.TimeOnly)
	}
	return fmt.Sprintf("%s yet; %s (%v)", absent(reason), on, reason)
}

// absent says in what way there is no leader at the moment.
func absent(reason error) string {
	if unable(reason) {
		return "the leading JobManager is not able to"
	}
	return "no leading JobManager answers"
}

// unable reports whether a leader has answered, who cannot do what it is asked for at the moment.
func unable(err error) bool {
	_, ok := errors.AsType[*client.Error](err)
	return ok
}

// whereabouts tells how JobManagers are looked for, to a person who finds none.
func whereabouts(c *config.Config) string {
	mode := c.String(config.HighAvailability)
	key := map[string]config.Name{"zookeeper": config.ZooKeeperQuorum, "etcd": config.EtcdEndpoints, "embedded": config.JobManagers}[mode]
	if key == "" {
		return fmt.Sprintf("There is no high availability configured, so it is jobmanager.rpc.address (%s) and rest.port (%s)",
			c.String(config.JobManagerAddress), c.String(config.RestPort))
	}
	return fmt.Sprintf("It is %s (%s) and cluster.id (%s)", key, c.String(key), c.String(config.ClusterID))
}

// locator finds JobManagers as the configuration says. What coordination clients log is of no use
// to a person who asked a question: errors are returned.
func locator(c *config.Config) client.Locator {
	quiet := slog.New(slog.DiscardHandler)
	switch c.String(config.HighAvailability) {
	case "zookeeper":
		return client.ByCoordination(openZooKeeper(c, quiet))
	case "etcd":
		return client.ByCoordination(openEtcd(c, quiet))
	case "embedded":
		return client.Fixed(c.List(config.JobManagers)...)
	}
	return client.Fixed(net.JoinHostPort(c.String(config.JobManagerAddress), c.String(config.RestPort)))
}
