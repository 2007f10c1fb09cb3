// Package localcluster runs a cluster of real processes on this machine: JobManagers and
// TaskManagers of the perennial binary, on free loopback ports, each of which can be killed and
// started again. The demo, the tests on real processes and the benchmarks are built on it.
//
// It never ends a process that it did not start. One goroutine per child waits for the child's
// end; Stop ends all children and waits for them; a child also ends with this process (on Linux).
package localcluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/failpoint"
)

// Config describes a cluster.
type Config struct {
	Binary       string // perennial
	Dir          string // for data and logs; the caller removes it
	JobManagers  int
	TaskManagers int
	Slots        int // per TaskManager
	// Settings choose the coordination and override anything: Embedded(), or
	// {"zookeeper.quorum": "…"}, or nil for a cluster without high availability.
	Settings map[string]string
	Embedded bool // the JobManagers are the quorum
	// FirstRPC is the RPC port of the first JobManager, which TaskManagers of another cluster of this package may know already; "": a free one.
	FirstRPC string
	// Failpoints is the directory in which tests arm them, of every process and task process; "": none.
	Failpoints string
	// Place tells of each process, by its role and its number from 0, what is its own; nil: nothing is.
	Place func(role string, i int) Place
}

// The roles that Place is asked about.
const (
	JobManager  = "jobmanager"
	TaskManager = "taskmanager"
)

// Place is where one process runs, and what it alone is told.
type Place struct {
	Address string            // others reach it there; "": loopback
	Bind    string            // it listens there; "": at Address
	Enter   []string          // what comes before a program and its arguments for it to run there
	RPC     string            // the JobManager's RPC port; "": a free one
	Env     []string          // beside this process's
	Own     map[string]string // settings, above all others
}

// Cluster is what Start has started.
type Cluster struct {
	JobManagers  []*Process
	TaskManagers []*Process
	Rest         []string // REST address of each JobManager
	config       Config
}

// Start starts every process and returns at once; Ready waits for them.
func Start(c Config) (*Cluster, error) {
	ports, err := freePorts(c.JobManagers)
	if err != nil {
		return nil, err
	}
	cl := &Cluster{config: c}
	for i, p := range ports {
		address := cl.place(JobManager, i).Address
		if address == "" {
			address = "127.0.0.1"
		}
		cl.Rest = append(cl.Rest, net.JoinHostPort(address, strconv.Itoa(p)))
	}
	for i, p := range ports {
		cl.JobManagers = append(cl.JobManagers, cl.jobManager(i, p))
	}
	for i := range c.TaskManagers {
		cl.TaskManagers = append(cl.TaskManagers, cl.taskManager(i))
	}
	for _, p := range cl.processes() {
		if err := p.Start(); err != nil {
			cl.Stop()
			return nil, err
		}
	}
	return cl, nil
}

func (cl *Cluster) place(role string, i int) Place {
	if cl.config.Place == nil {
		return Place{}
	}
	return cl.config.Place(role, i)
}

// addresses are the settings of where a process is.
func (p Place) addresses(role string) map[string]string {
	bind := p.Bind
	if bind == "" {
		bind = p.Address
	}
	switch {
	case p.Address == "":
		return nil
	case role == TaskManager:
		return map[string]string{"taskmanager.host": p.Address, "taskmanager.bind-host": bind}
	}
	return map[string]string{"jobmanager.rpc.address": p.Address, "jobmanager.bind-host": bind, "rest.bind-host": bind}
}

func (cl *Cluster) jobManager(i, rest int) *Process {
	own := map[string]string{
		"rest.port":                 strconv.Itoa(rest),
		"jobmanager.rpc.port":       "0",
		"coordination.embedded.dir": filepath.Join(cl.config.Dir, fmt.Sprintf("quorum-%d", i+1)),
		"coordination.local.dir":    filepath.Join(cl.config.Dir, "local"),
	}
	if !cl.highlyAvailable() {
		own["jobmanager.rpc.port"] = cl.RPCPort()
	}
	if i == 0 && cl.config.FirstRPC != "" {
		own["jobmanager.rpc.port"] = cl.config.FirstRPC
	}
	if rpc := cl.place(JobManager, i).RPC; rpc != "" {
		own["jobmanager.rpc.port"] = rpc
	}
	return cl.process(JobManager, i, own)
}

func (cl *Cluster) taskManager(i int) *Process {
	own := map[string]string{
		"taskmanager.slots": strconv.Itoa(cl.config.Slots),
		"taskmanager.dir":   filepath.Join(cl.config.Dir, fmt.Sprintf("taskmanager-%d.d", i+1)),
	}
	if !cl.highlyAvailable() {
		own["jobmanager.rpc.port"] = cl.RPCPort()
	}
	return cl.process(TaskManager, i, own)
}

func (cl *Cluster) highlyAvailable() bool {
	return cl.config.Embedded || cl.config.Settings["zookeeper.quorum"] != "" || cl.config.Settings["etcd.endpoints"] != ""
}

// RPCPort is the fixed port of a cluster without high availability: free when the ports were
// chosen, and above the range that they are chosen from by a constant.
func (cl *Cluster) RPCPort() string {
	_, p, _ := net.SplitHostPort(cl.Rest[0])
	n, _ := strconv.Atoi(p)
	return strconv.Itoa(n + 1000)
}

func (cl *Cluster) process(role string, i int, own map[string]string) *Process {
	name, place := fmt.Sprintf("%s-%d", role, i+1), cl.place(role, i)
	args := []string{role, "--conf", ""}
	settings := map[string]string{"storage.dir": filepath.Join(cl.config.Dir, "storage")}
	if cl.config.Embedded {
		settings["high-availability"] = "embedded"
		settings["jobmanagers"] = strings.Join(cl.Rest, ",")
	}
	for _, m := range []map[string]string{cl.config.Settings, own, place.addresses(role), place.Own} {
		maps.Copy(settings, m)
	}
	for k, v := range settings {
		args = append(args, "-D", k+"="+v)
	}
	return &Process{Name: name, Log: filepath.Join(cl.config.Dir, name+".log"), binary: cl.config.Binary, args: args, enter: place.Enter, env: cl.environment(place)}
}

// environment is what a process finds in its environment beside this process's own.
func (cl *Cluster) environment(p Place) []string {
	env := slices.Clone(p.Env)
	if cl.config.Failpoints != "" {
		env = append(env, failpoint.Variable+"="+cl.config.Failpoints)
	}
	return env
}

// Client returns a client of this cluster that knows all of its JobManagers. The caller closes it.
func (cl *Cluster) Client() *client.Client { return client.New(client.Fixed(cl.Rest...)) }

// Ready waits until one JobManager leads, all are members and every slot is there.
func (cl *Cluster) Ready(ctx context.Context, c *client.Client) error {
	return cl.Until(ctx, func() error {
		if err := cl.members(ctx, c); err != nil {
			return err
		}
		have, err := c.Cluster(ctx)
		if err != nil {
			return err
		}
		if want := cl.config.TaskManagers * cl.config.Slots; have.Slots < want {
			return fmt.Errorf("%d of %d slots are there", have.Slots, want)
		}
		return nil
	})
}

// Members waits until every JobManager is a member.
func (cl *Cluster) Members(ctx context.Context, c *client.Client) error {
	return cl.Until(ctx, func() error { return cl.members(ctx, c) })
}

func (cl *Cluster) members(ctx context.Context, c *client.Client) error {
	list, err := c.JobManagers(ctx)
	if err != nil {
		return err
	}
	pids := map[int]bool{}
	for _, m := range list {
		pids[m.PID] = true
	}
	for _, p := range cl.JobManagers {
		if p.Running() && !pids[p.PID()] {
			return fmt.Errorf("%s is not a member yet", p.Name)
		}
	}
	return nil
}

// Until tries again, each 10 ms, until try succeeds or ctx ends; a process that has died by
// itself ends it too.
func (cl *Cluster) Until(ctx context.Context, try func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// Leader is the process that leads, with what it says of itself.
func (cl *Cluster) Leader(ctx context.Context, c *client.Client) (*Process, client.JobManager, error) {
	list, err := c.JobManagers(ctx)
	if err != nil {
		return nil, client.JobManager{}, err
	}
	for _, m := range list {
		for _, p := range cl.JobManagers {
			if m.Role == "leader" && m.PID == p.PID() {
				return p, m, nil
			}
		}
	}
	return nil, client.JobManager{}, errors.New("the leader is none of this cluster's processes")
}

func (cl *Cluster) processes() []*Process { return slices.Concat(cl.JobManagers, cl.TaskManagers) }

// Stop ends every process, politely at first, and waits for their ends.
func (cl *Cluster) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range cl.processes() {
		all.Go(func() { p.Terminate(ctx) })
	}
	all.Wait()
}

// Logs is the end of every process's log, for a message about a failure.
func (cl *Cluster) Logs() string {
	var b strings.Builder
	for _, p := range cl.processes() {
		fmt.Fprintf(&b, "== %s (running: %v): %s\n", p.Name, p.Running(), p.Tail())
	}
	return b.String()
}

// ports hands out each port once, so that clusters of one process do not get in each other's way.
var ports struct {
	sync.Mutex
	next int
}

// freePorts finds n ports p that are free on loopback with p+1000, the port of Raft, being free
// as well. They lie below the range that the system gives to outgoing connections.
func freePorts(n int) ([]int, error) {
	const lowest, highest = 12000, 24000
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = lowest + os.Getpid()*7%(highest-lowest)
	}
	var found []int
	for tries := 0; len(found) < n && tries < highest-lowest; tries++ {
		p := ports.next
		if ports.next++; ports.next%1000 == 0 {
			ports.next += 1000 // the thousand above is that of Raft
		}
		if ports.next >= highest {
			ports.next = lowest
		}
		if isFree(p) && isFree(p+1000) {
			found = append(found, p)
		}
	}
	if len(found) < n {
		return nil, fmt.Errorf("found %d free ports of the %d wanted between %d and %d", len(found), n, lowest, highest)
	}
	return found, nil
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
