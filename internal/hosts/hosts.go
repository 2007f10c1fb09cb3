// Package hosts does something on every host of a cluster at once: on this one by a function, on
// the others by ssh.
//
// It never copies a file: every host has the distribution at the same path. Each call owns one
// goroutine per host, which has ended when the call returns.
package hosts

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// Entry is one process of a cluster: what it is, and its host's name as a file of the
// configuration has it.
type Entry struct {
	Host string
	Name string // what the host's own command calls it, such as jobmanager@alpha:8081
}

// Host is the entries of one host, in the order of the files.
type Host struct {
	Name  string // as in the first entry
	Local bool   // this host
	Names []string
}

// resolveTime bounds how long a name service may take to say which host is meant.
const resolveTime = 5 * time.Second

// Group puts the entries of each host together. All names of this host are one host; other hosts are told apart by name.
// Names are looked up at once, so that one that no name service answers for keeps none of the others.
func Group(ctx context.Context, entries []Entry, local func(ctx context.Context, name string) bool) []Host {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	here := map[string]*bool{}
	var lookups sync.WaitGroup
	for _, e := range entries {
		if here[e.Host] == nil {
			is := new(bool)
			here[e.Host] = is
			lookups.Go(func() { *is = local(ctx, e.Host) })
		}
	}
	lookups.Wait()
	var all []Host
	index := map[string]int{}
	for _, e := range entries {
		i, known := index[e.Host]
		if !known {
			is := *here[e.Host]
			i = slices.IndexFunc(all, func(h Host) bool { return is && h.Local })
			if i < 0 {
				i, all = len(all), append(all, Host{Name: e.Host, Local: is})
			}
			index[e.Host] = i
		}
		all[i].Names = append(all[i].Names, e.Name)
	}
	return all
}

// IsLocal tells whether a name is this host's: its own name, or one that resolves to an address of
// it.
func IsLocal(ctx context.Context, name string) bool {
	if own, err := os.Hostname(); err == nil && name == own || name == "localhost" {
		return true
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return false // ssh says what is wrong with it, or knows it by a name of its own
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addresses, func(a string) bool { return isOwn(net.ParseIP(strings.Split(a, "%")[0]), own) })
}

func isOwn(ip net.IP, own []net.Addr) bool {
	return ip.IsLoopback() || slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// Result is what came of one host.
type Result struct {
	Host   string
	Output string // what was said, line by line
	Err    error
}

// Each does something on each host, all at once, and tells of each as soon as it is done; tell is
// never called by two at a time. here does this host's part; script is what another's shell
// is given.
func Each(ctx context.Context, all []Host, options []string, here func(ctx context.Context, h Host) (string, error), script func(h Host) string, tell func(Result)) {
	var group sync.WaitGroup
	var mu sync.Mutex
	for _, h := range all {
		group.Go(func() {
			r := Result{Host: h.Name}
			if h.Local {
				r.Output, r.Err = here(ctx, h)
			} else {
				r.Output, r.Err = remote(ctx, h.Name, options, script(h))
			}
			mu.Lock()
			defer mu.Unlock()
			tell(r)
		})
	}
	group.Wait()
}

// sshFailed is ssh's exit status when the other side's command did not run.
const sshFailed = 255

// remote runs a script on another host. It comes on standard input, so that no login shell splits
// it. Of an option that is given twice ssh takes the first, so the caller's come before ours; but
// nothing can answer a question here.
func remote(ctx context.Context, host string, options []string, script string) (string, error) {
	args := slices.Concat([]string{"-o", "BatchMode=yes"}, options, []string{"-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "--", host, "sh -s"})
	cmd := exec.CommandContext(ctx, "ssh", args...)
	cmd.WaitDelay = time.Second // for what it left holding the pipes
	cmd.Stdin = strings.NewReader(script)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	said := strings.TrimSpace(complaint.String())
	var exit *exec.ExitError
	switch {
	case err == nil:
		return join(out.String(), said), nil
	case ctx.Err() != nil:
		return join(out.String(), said), fmt.Errorf("ssh %s: no answer: %w", host, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("ssh %s: there is no ssh in PATH; install an ssh client", host)
	case errors.As(err, &exit) && exit.ExitCode() == sshFailed:
		return out.String(), fmt.Errorf("ssh %s: %s; it must work without a question, as by: ssh -o BatchMode=yes %s true", host, said, host)
	}
	return out.String(), errors.New(cmp.Or(said, err.Error()))
}

func join(out, said string) string {
	return strings.TrimSpace(strings.TrimSpace(out) + "\n" + said)
}

// Quote makes one word of s for a POSIX shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
