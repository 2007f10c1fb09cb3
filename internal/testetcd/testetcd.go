// Package testetcd runs an etcd cluster for tests, each server a process of its own, so
// that tests can kill it. The processes are the test binary itself: its TestMain calls
// Serve first.
//
//	func TestMain(m *testing.M) {
//		testetcd.Serve()
//		…
//	}
//
// Servers listen on loopback only, keep their data in the test's temporary directory, and
// end with the test, also when the test's process dies. The package is for tests, and
// starts no goroutine that outlives Start's test.
package testetcd

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds the start of a server; it is only reached by one that fails.
const patience = time.Minute

// Cluster is a running etcd cluster. Its methods fail the test that started it.
type Cluster struct {
	t       testing.TB
	members []member

	mu      sync.Mutex
	running []*process // nil: killed
}

// member is what a server is told; it reads this from its environment.
type member struct {
	Name, Dir, Client, Peer, Cluster string
}

// process is one server.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer // its end is the server's
	output *strings.Builder
	exited chan struct{} // closed after output is complete
}

// Start starts n servers and returns when all of them serve.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, running: make([]*process, n)}
	addresses, dir := Addresses(t, 2*n), t.TempDir()
	for i := range n {
		name := fmt.Sprint("etcd", i)
		c.members = append(c.members, member{
			Name: name, Dir: filepath.Join(dir, name), Client: addresses[2*i], Peer: addresses[2*i+1],
		})
	}
	var peers []string
	for _, m := range c.members {
		peers = append(peers, m.Name+"=http://"+m.Peer)
	}
	t.Cleanup(c.stop)
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		c.members[i].Cluster = strings.Join(peers, ",")
		wg.Go(func() { errs[i] = c.start(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Endpoints are the host:port of all servers, killed ones included.
func (c *Cluster) Endpoints() []string {
	endpoints := make([]string, len(c.members))
	for i, m := range c.members {
		endpoints[i] = m.Client
	}
	return endpoints
}

// Kill ends server i with SIGKILL and returns when it is gone.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.mu.Lock()
	p := c.running[i]
	c.running[i] = nil
	c.mu.Unlock()
	if p == nil {
		c.t.Fatalf("etcd server %d is not running", i)
	}
	p.end()
}

// Restart starts server i, which was killed, on its data; it returns when it serves.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	if err := c.start(i); err != nil {
		c.t.Fatal(err)
	}
}

// Signal sends a signal, such as SIGSTOP, to server i.
func (c *Cluster) Signal(i int, s syscall.Signal) {
	c.t.Helper()
	c.mu.Lock()
	p := c.running[i]
	c.mu.Unlock()
	if p == nil {
		c.t.Fatalf("etcd server %d is not running", i)
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		c.t.Fatalf("signal etcd server %d: %v", i, err)
	}
}

func (c *Cluster) stop() {
	for i := range c.running {
		c.mu.Lock()
		p := c.running[i]
		c.mu.Unlock()
		if p != nil {
			p.end()
		}
	}
}

// start runs this binary once more, as server i, and waits until it says that it serves.
func (c *Cluster) start(i int) error {
	told, err := json.Marshal(c.members[i])
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), environment+"="+string(told))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p := &process{cmd: cmd, stdin: stdin, output: &strings.Builder{}, exited: make(chan struct{})}
	cmd.Stderr = p.output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start etcd server %d: %w", i, err)
	}
	c.mu.Lock()
	c.running[i] = p
	c.mu.Unlock()

	serving := make(chan struct{})
	go func() {
		defer close(p.exited)
		if line := make([]byte, len(ready)); readFull(stdout, line) && string(line) == ready {
			close(serving)
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // it was killed
	}()
	select {
	case <-serving:
		return nil
	case <-p.exited:
		return fmt.Errorf("etcd server %d ended as it started:\n%s", i, p.output)
	case <-time.After(patience):
		return fmt.Errorf("etcd server %d does not serve after %v", i, patience)
	}
}

func readFull(r io.Reader, b []byte) bool {
	_, err := io.ReadFull(r, b)
	return err == nil
}

// end kills the process, frozen or not, and waits for it.
func (p *process) end() {
	_ = p.cmd.Process.Kill() // an error says that it has ended
	p.stdin.Close()
	<-p.exited
}

// Addresses returns n free loopback addresses, host:port. Their host is one that other
// tests hardly choose and no outgoing connection is bound to, so that they stay free until
// they are used.
func Addresses(t testing.TB, n int) []string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()>>16&63, os.Getpid()>>8&255, os.Getpid()&255)
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", host+":0")
		if err != nil { // not every system has all of 127.0.0.0/8
			l, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return addresses
}
