// Package testhosts makes hosts of network namespaces, for tests and benchmarks that want several: each has a name, an
// address of its own and an sshd. They share this machine's files, but for one directory, in which each has its own. What
// runs on one of them reaches the others through a switch, which is a namespace too, and nothing else: the machine's own
// network is not touched. A process may have several sets of hosts at a time; no set reaches another.
//
// It needs root, and Debian's iproute2 and openssh-server; New fails with ErrMissing where they are not. The package is
// not for the program. It ends only processes that run in its own namespaces, and leaves none of them behind. It starts no
// goroutine.
package testhosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// sshPort is where each host's sshd listens.
const sshPort = 22

// patience bounds a step of the set-up; only one that fails reaches it.
const patience = 30 * time.Second

// names of hosts, in order.
var names = []string{"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett"}

// Most is how many hosts a set may have.
var Most = len(names)

// ErrMissing is why there can be no hosts here.
var ErrMissing = errors.New("there can be no hosts here")

// sets counts those of this process, which have namespaces of their own each.
var sets atomic.Int64

// Hosts are several of them, with one key for ssh among them.
type Hosts struct {
	id   string // of this set's namespaces
	dir  string
	List []*Host
	// Local is a directory that is empty at first and each host's own, as if on a disk of it.
	Local string
}

// Host is one of them.
type Host struct {
	all    *Hosts
	number int
	Name   string // resolves to Address on each of them
	// Address is an IPv4 address of which only these hosts know.
	Address string
}

// New makes n hosts, at most Most, with their files in a directory that is theirs alone; ctx bounds the making. The caller
// closes them.
func New(ctx context.Context, dir string, n int) (*Hosts, error) {
	if n < 1 || n > Most {
		return nil, fmt.Errorf("%d hosts: expected 1 to %d", n, Most)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	h := &Hosts{id: fmt.Sprintf("pt%d-%d", os.Getpid(), sets.Add(1)), dir: dir, Local: filepath.Join(dir, "local")}
	if err := h.possible(ctx); err != nil {
		return nil, err
	}
	for i := range n {
		h.List = append(h.List, &Host{h, i + 1, names[i], fmt.Sprintf("10.77.0.%d", i+1)})
	}
	if err := h.build(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// TB is what Start needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	TempDir() string
	Context() context.Context
	Cleanup(func())
	Skip(args ...any)
	Error(args ...any)
	Fatal(args ...any)
}

// Start is New for one test: they are gone after it, and it is skipped where there can be none.
func Start(t TB, n int) *Hosts {
	t.Helper()
	h, err := New(t.Context(), t.TempDir(), n)
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// possible tells whether there can be hosts here.
func (h *Hosts) possible(ctx context.Context) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("%w: they are network namespaces, which only root can make", ErrMissing)
	}
	for _, tool := range []string{"ip", "/usr/sbin/sshd", "ssh", "ssh-keygen", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: they need iproute2, util-linux, openssh-client and openssh-server (make hosts installs them): %w", ErrMissing, err)
		}
	}
	hub := h.namespace(0)
	if err := ip(ctx, "netns", "add", hub); err != nil {
		return fmt.Errorf("%w: no network namespaces can be made: %w", ErrMissing, err)
	}
	return nil
}

func (h *Hosts) build(ctx context.Context) error {
	hub := h.namespace(0)
	err := errors.Join(ip(ctx, "-n", hub, "link", "add", "hub", "type", "bridge"), ip(ctx, "-n", hub, "link", "set", "hub", "up"), h.keys(ctx))
	for _, one := range h.List {
		if err == nil {
			err = one.connect(ctx)
		}
		if err == nil {
			err = one.serveSSH(ctx)
		}
	}
	return err
}

func (h *Hosts) namespace(number int) string { return h.id + "-" + strconv.Itoa(number) }

// connect makes the host, and a cable from it to the switch.
func (one *Host) connect(ctx context.Context) error {
	h := one.all
	hub, ns := h.namespace(0), h.namespace(one.number)
	for _, args := range [][]string{
		{"netns", "add", ns},
		{"-n", hub, "link", "add", one.plug(), "type", "veth", "peer", "name", "eth0", "netns", ns},
		{"-n", hub, "link", "set", one.plug(), "master", "hub", "up"},
		{"-n", ns, "addr", "add", one.Address + "/24", "dev", "eth0"},
		{"-n", ns, "link", "set", "eth0", "up"},
		{"-n", ns, "link", "set", "lo", "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return err
		}
	}
	var table strings.Builder
	table.WriteString("127.0.0.1 localhost\n")
	for _, other := range h.List {
		fmt.Fprintf(&table, "%s %s\n", other.Address, other.Name)
	}
	return errors.Join(os.MkdirAll(h.Local, 0o755), os.MkdirAll(one.disk(), 0o755),
		write(filepath.Join(one.etc(), "hosts"), table.String(), 0o644))
}

// etc is a directory whose files ip netns exec lays over those of /etc.
func (one *Host) etc() string { return filepath.Join("/etc/netns", one.all.namespace(one.number)) }

func write(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

func ip(ctx context.Context, args ...string) error {
	return run(exec.CommandContext(ctx, "ip", args...))
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// keys makes the one that all hosts have and the one that lets in.
func (h *Hosts) keys(ctx context.Context) error {
	for _, name := range []string{"host", "user"} {
		if err := run(exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(h.dir, name))); err != nil {
			return err
		}
	}
	return nil
}

// SSHOptions are those with which ssh gets from any of them to any other.
func (h *Hosts) SSHOptions() string {
	return fmt.Sprintf("-i %s -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR", filepath.Join(h.dir, "user"))
}

// serveSSH starts the host's sshd.
func (one *Host) serveSSH(ctx context.Context) error {
	h := one.all
	config := filepath.Join(h.dir, one.Name+".sshd")
	err := write(config, fmt.Sprintf(`Port %d
HostKey %s
AuthorizedKeysFile %s
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
`, sshPort, filepath.Join(h.dir, "host"), filepath.Join(h.dir, "user.pub")), 0o600)
	if err = errors.Join(err, os.MkdirAll("/run/sshd", 0o755)); err != nil {
		return err
	}
	return run(one.Command(ctx, "/usr/sbin/sshd", "-f", config, "-E", config+".log"))
}

// Command is a program that runs on the host, until it ends or ctx does.
func (one *Host) Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	in := append(one.Enter(), path)
	return exec.CommandContext(ctx, in[0], append(in[1:], args...)...)
}

// Enter is what comes before a program and its arguments for it to run on the host. The program has the process id of
// what was started.
func (one *Host) Enter() []string {
	const script = `mount --bind "$1" "$2" && hostname "$0" && shift 2 && exec "$@"`
	return []string{"ip", "netns", "exec", one.all.namespace(one.number), "unshare", "--uts", "sh", "-c", script, one.Name, one.disk(), one.all.Local}
}

// disk is where this machine has the host's own files.
func (one *Host) disk() string { return filepath.Join(one.all.dir, "disks", one.Name) }

func (one *Host) plug() string { return "to-" + one.Name }

// CutOff parts the host from all others: nothing that is sent arrives, and nobody is told.
func (one *Host) CutOff() error { return one.link("down") }

// Join undoes CutOff.
func (one *Host) Join() error { return one.link("up") }

func (one *Host) link(state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return ip(ctx, "-n", one.all.namespace(0), "link", "set", one.plug(), state)
}

// Processes lists what runs on the host, without its sshd, by pid.
func (one *Host) Processes() map[int]string {
	all := map[int]string{}
	for pid, line := range one.processes() {
		if !strings.Contains(line, "sshd") {
			all[pid] = line
		}
	}
	return all
}

func (one *Host) processes() map[int]string {
	out, err := exec.Command("ip", "netns", "pids", one.all.namespace(one.number)).Output()
	if err != nil {
		return nil // the namespace was not made
	}
	all := map[int]string{}
	for _, field := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(field)
		if line, e := os.ReadFile(filepath.Join("/proc", field, "cmdline")); err == nil && e == nil && len(line) > 0 {
			all[pid] = string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte{' '}))
		}
	}
	return all
}

// Kill ends everything on the host at once, as a loss of power does, and cuts it off.
func (one *Host) Kill() error { return errors.Join(one.CutOff(), one.end()) }

func (one *Host) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for left := one.processes(); len(left) > 0; left = one.processes() {
		for pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("on %s there are processes that do not end: %v", one.Name, left)
		}
	}
	return nil
}

// Close ends all that runs on the hosts and removes them. Their files stay in the directory that New was given.
func (h *Hosts) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var failed error
	for _, one := range h.List {
		failed = errors.Join(failed, one.end(), os.RemoveAll(one.etc()))
	}
	for number := range len(h.List) + 1 {
		ns := h.namespace(number)
		if _, err := os.Stat(filepath.Join("/run/netns", ns)); err == nil {
			failed = errors.Join(failed, ip(ctx, "netns", "del", ns))
		}
	}
	return failed
}
