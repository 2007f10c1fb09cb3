// Package testhosts makes hosts of network namespaces, for tests that want several: each has a name, an address of its own
// and an sshd. They share this machine's files, but for one directory, in which each has its own. What runs on one of them reaches the others through a switch,
// which is a namespace too, and nothing else: the machine's own network is not touched.
//
// It needs root, and Debian's iproute2 and openssh-server; a test is skipped, with the reason, where they are not. The
// package is for tests. It ends only processes that run in its own namespaces, and leaves none of them behind.
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
	"syscall"
	"testing"
	"time"
)

// sshPort is where each host's sshd listens.
const sshPort = 22

// patience bounds a step of the set-up; only one that fails reaches it.
const patience = 30 * time.Second

// names of hosts, in order.
var names = []string{"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf"}

// Hosts are several of them, with one key for ssh among them.
type Hosts struct {
	t    testing.TB
	id   string // of the namespaces of this process
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

// Start makes n hosts, at most 7, which are gone after the test.
func Start(t testing.TB, n int) *Hosts {
	t.Helper()
	if reason := missing(); reason != "" {
		t.Skip(reason)
	}
	h := &Hosts{t: t, id: fmt.Sprintf("pt%d", os.Getpid()), dir: t.TempDir()}
	for i := range n {
		h.List = append(h.List, &Host{h, i + 1, names[i], fmt.Sprintf("10.77.0.%d", i+1)})
	}
	h.Local = filepath.Join(h.dir, "local")
	t.Cleanup(h.remove)
	h.network()
	h.keys()
	for _, one := range h.List {
		one.serveSSH()
	}
	return h
}

// missing is why there can be no hosts here, or "".
func missing() string {
	if os.Getuid() != 0 {
		return "hosts are network namespaces, which only root can make"
	}
	for _, tool := range []string{"ip", "/usr/sbin/sshd", "ssh", "ssh-keygen", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Sprintf("hosts need iproute2, util-linux, openssh-client and openssh-server (make hosts installs them): %v", err)
		}
	}
	probe := fmt.Sprintf("pt%dprobe", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
		return fmt.Sprintf("no network namespaces can be made here: %s", out)
	}
	_ = exec.Command("ip", "netns", "del", probe).Run()
	return ""
}

func (h *Hosts) namespace(number int) string { return h.id + "-" + strconv.Itoa(number) }

// network makes the switch, and a cable to each host.
func (h *Hosts) network() {
	hub := h.namespace(0)
	h.ip("netns", "add", hub)
	h.ip("-n", hub, "link", "add", "hub", "type", "bridge")
	h.ip("-n", hub, "link", "set", "hub", "up")
	var table strings.Builder
	table.WriteString("127.0.0.1 localhost\n")
	for _, one := range h.List {
		fmt.Fprintf(&table, "%s %s\n", one.Address, one.Name)
	}
	for _, one := range h.List {
		ns := h.namespace(one.number)
		h.ip("netns", "add", ns)
		h.ip("-n", hub, "link", "add", one.plug(), "type", "veth", "peer", "name", "eth0", "netns", ns)
		h.ip("-n", hub, "link", "set", one.plug(), "master", "hub", "up")
		h.ip("-n", ns, "addr", "add", one.Address+"/24", "dev", "eth0")
		h.ip("-n", ns, "link", "set", "eth0", "up")
		h.ip("-n", ns, "link", "set", "lo", "up")
		for _, dir := range []string{h.Local, one.disk()} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				h.t.Fatal(err)
			}
		}
		h.write(filepath.Join("/etc/netns", ns, "hosts"), table.String(), 0o644) // ip netns exec lays it over /etc/hosts
	}
}

func (h *Hosts) write(path, text string, mode os.FileMode) {
	h.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), mode)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *Hosts) ip(args ...string) {
	h.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// keys makes the one that all hosts have and the one that lets in.
func (h *Hosts) keys() {
	h.t.Helper()
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(h.dir, name)).CombinedOutput(); err != nil {
			h.t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
}

// SSHOptions are those with which ssh gets from any of them to any other.
func (h *Hosts) SSHOptions() string {
	return fmt.Sprintf("-i %s -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR", filepath.Join(h.dir, "user"))
}

// serveSSH starts the host's sshd.
func (one *Host) serveSSH() {
	h := one.all
	h.t.Helper()
	config := filepath.Join(h.dir, one.Name+".sshd")
	h.write(config, fmt.Sprintf(`Port %d
HostKey %s
AuthorizedKeysFile %s
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
`, sshPort, filepath.Join(h.dir, "host"), filepath.Join(h.dir, "user.pub")), 0o600)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		h.t.Fatal(err)
	}
	if out, err := one.Command("/usr/sbin/sshd", "-f", config, "-E", config+".log").CombinedOutput(); err != nil {
		h.t.Fatalf("sshd on %s: %v: %s", one.Name, err, out)
	}
}

// Command is a program that runs on the host.
func (one *Host) Command(path string, args ...string) *exec.Cmd {
	const script = `mount --bind "$1" "$2" && hostname "$0" && shift 2 && exec "$@"`
	in := []string{"netns", "exec", one.all.namespace(one.number), "unshare", "--uts", "sh", "-c", script, one.Name, one.disk(), one.all.Local, path}
	return exec.Command("ip", append(in, args...)...)
}

// disk is where this machine has the host's own files.
func (one *Host) disk() string { return filepath.Join(one.all.dir, "disks", one.Name) }

func (one *Host) plug() string { return "to-" + one.Name }

// CutOff parts the host from all others: nothing that is sent arrives, and nobody is told.
func (one *Host) CutOff() { one.all.ip("-n", one.all.namespace(0), "link", "set", one.plug(), "down") }

// Join undoes CutOff.
func (one *Host) Join() { one.all.ip("-n", one.all.namespace(0), "link", "set", one.plug(), "up") }

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
func (one *Host) Kill() {
	one.CutOff()
	one.end()
}

func (one *Host) end() {
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
			one.all.t.Errorf("on %s there are processes that do not end: %v", one.Name, left)
			return
		}
	}
}

// remove leaves nothing behind.
func (h *Hosts) remove() {
	for _, one := range h.List {
		one.end()
		_ = os.RemoveAll(filepath.Join("/etc/netns", h.namespace(one.number)))
	}
	for number := range len(h.List) + 1 {
		if out, err := exec.Command("ip", "netns", "del", h.namespace(number)).CombinedOutput(); err != nil && !errors.Is(err, os.ErrNotExist) {
			h.t.Logf("ip netns del %s: %v: %s", h.namespace(number), err, out)
		}
	}
	_ = os.Remove("/etc/netns") // if no others have theirs there
}
