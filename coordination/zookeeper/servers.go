package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
)

// ParseServers reads a list of servers, "host:port,[...]host:port", in which an IPv6 address
// stands in brackets. It looks no name up.
func ParseServers(list string) ([]string, error) {
	if strings.TrimSpace(list) == "" {
		return nil, errors.New(`zookeeper: no servers are named: expected "host:port,[...]host:port"`)
	}
	var servers []string
	for i, entry := range strings.Split(list, ",") {
		server, err := parseServer(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("zookeeper: server %d of %q: %w", i+1, list, err)
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func parseServer(entry string) (string, error) {
	if entry == "" {
		return "", errors.New("the entry is empty: remove the comma beside it")
	}
	if strings.Contains(entry, "/") {
		return "", fmt.Errorf("%q has a slash: a path is set as the root, not here", entry)
	}
	host, port, err := net.SplitHostPort(entry)
	var bad *net.AddrError
	switch {
	case errors.As(err, &bad) && bad.Err == "missing port in address":
		return "", fmt.Errorf("%q has no port: write %s:2181 for ZooKeeper's usual one", entry, entry)
	case errors.As(err, &bad) && bad.Err == "too many colons in address":
		return "", fmt.Errorf("%q has too many colons: an IPv6 address is written in brackets, as [::1]:2181", entry)
	case err != nil:
		return "", fmt.Errorf("%q is not host:port: %w", entry, err)
	case host == "":
		return "", fmt.Errorf("%q has no host", entry)
	case strings.Contains(host, ":") && net.ParseIP(withoutZone(host)) == nil:
		return "", fmt.Errorf("%q has a malformed IPv6 address", entry)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q has the port %q: expected 1 to 65535", entry, port)
	}
	return net.JoinHostPort(host, port), nil
}

func withoutZone(host string) string {
	address, _, _ := strings.Cut(host, "%")
	return address
}

// resolve looks each server's name up once, so that a misspelt one is told at the start. One
// that resolves is enough to go on with: under orchestration a server that is down may have
// no name just now. Later connections look names up again.
func resolve(ctx context.Context, servers []string, log *slog.Logger) error {
	var failures []error
	for _, server := range servers {
		host, _, err := net.SplitHostPort(server)
		if err != nil {
			return err
		}
		if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
			failures = append(failures, fmt.Errorf("server %s does not resolve: %w", server, err))
		}
	}
	if len(failures) == len(servers) {
		return fmt.Errorf("zookeeper: %w", errors.Join(failures...))
	}
	for _, err := range failures {
		log.Warn("zookeeper: going on without a server", "error", err)
	}
	return nil
}
