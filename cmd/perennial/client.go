package main

import (
	"context"
	"log/slog"
	"net"

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
	return do(ctx, c)
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
