package zksession

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// defaultPort is that of ZooKeeper's clients.
const defaultPort = "2181"

// ParseServers reads a quorum string, "host[:port],[...]host[:port][/chroot]", in which an IPv6
// address stands in brackets. Servers come back with their ports; the chroot is "" if there is
// none. It looks no name up.
func ParseServers(list string) (servers []string, chroot string, err error) {
	hosts, path, chrooted := strings.Cut(list, "/")
	if strings.TrimSpace(hosts) == "" {
		return nil, "", errors.New(`zookeeper: no servers are named: expected "host:port,[...]host:port"`)
	}
	seen := make(map[string]int)
	for i, entry := range strings.Split(hosts, ",") {
		server, err := parseServer(strings.TrimSpace(entry))
		if err != nil {
			return nil, "", fmt.Errorf("zookeeper: server %d of %q: %w", i+1, list, err)
		}
		if first, twice := seen[server]; twice {
			return nil, "", fmt.Errorf("zookeeper: servers %d and %d of %q are both %s: name each once", first, i+1, list, server)
		}
		seen[server] = i + 1
		servers = append(servers, server)
	}
	if chrooted {
		if chroot, err = parseChroot(strings.TrimSpace(path)); err != nil {
			return nil, "", fmt.Errorf("zookeeper: the path of %q: %w", list, err)
		}
	}
	return servers, chroot, nil
}

func parseChroot(path string) (string, error) {
	if path == "" {
		return "", nil // ZooKeeper's clients take "host:port/" for no chroot
	}
	if strings.Contains(path, ",") {
		return "", errors.New("a path comes once, after the last server")
	}
	if !cleanPath(path) {
		return "", fmt.Errorf("%q: expected names with one slash before each, as in host:port/one/two", "/"+path)
	}
	return "/" + path, nil
}

// cleanPath reports whether path, without its first slash, is what a chroot may be: ZooKeeper refuses empty names, "." and
// "..", and control characters.
func cleanPath(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
	}
	return true
}

func parseServer(entry string) (string, error) {
	if entry == "" {
		return "", errors.New("the entry is empty: remove the comma beside it")
	}
	host, port, err := net.SplitHostPort(entry)
	var bad *net.AddrError
	switch {
	case errors.As(err, &bad) && bad.Err == "missing port in address":
		host, port = entry, defaultPort
		if strings.HasPrefix(entry, "[") && strings.HasSuffix(entry, "]") {
			host = entry[1 : len(entry)-1]
		}
	case errors.As(err, &bad) && bad.Err == "too many colons in address":
		return "", fmt.Errorf("%q has too many colons: an IPv6 address is written in brackets, as [::1]:2181", entry)
	case err != nil:
		return "", fmt.Errorf("%q is not host:port: %w", entry, err)
	}
	switch {
	case host == "":
		return "", fmt.Errorf("%q has no host", entry)
	case strings.ContainsAny(host, "[]@") || strings.ContainsFunc(host, notInName):
		return "", fmt.Errorf("%q has the host %q: expected a name or an address", entry, host)
	case strings.Contains(host, ":") && net.ParseIP(withoutZone(host)) == nil:
		return "", fmt.Errorf("%q has a malformed IPv6 address", entry)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q has the port %q: expected 1 to 65535", entry, port)
	}
	return net.JoinHostPort(host, port), nil
}

func notInName(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

func withoutZone(host string) string {
	address, _, _ := strings.Cut(host, "%")
	return address
}

// resolvePatience is how long a name may take at the start. A resolver asks a second name server after 5 s.
const resolvePatience = 10 * time.Second

// resolve looks each server's name up once, all at once, so that a misspelt one is told at the start. One
// that resolves is enough to go on with: under orchestration a server that is down may have
// no name just now. Later connections look names up again.
func resolve(ctx context.Context, servers []string, names *names, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	unknown := make([]error, len(servers))
	var running sync.WaitGroup
	for i, server := range servers {
		running.Go(func() {
			host, _, err := net.SplitHostPort(server)
			if err != nil {
				unknown[i] = err
				return
			}
			known, err := names.addresses(ctx, host)
			switch {
			case len(known) == 0:
				unknown[i] = fmt.Errorf("server %s does not resolve: %w", server, err)
			case err != nil:
				log.Warn("zookeeper: a name does not resolve; going on with the addresses that it had", "host", host, "addresses", known, "error", err)
			}
		})
	}
	running.Wait()
	unknown = slices.DeleteFunc(unknown, func(err error) bool { return err == nil })
	if len(unknown) == len(servers) {
		return fmt.Errorf("zookeeper: %w", errors.Join(unknown...))
	}
	for _, err := range unknown {
		log.Warn("zookeeper: going on without a server", "error", err)
	}
	return nil
}
