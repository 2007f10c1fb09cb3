//go:build unix

package task_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/shuffle"
	"github.com/perennial-io/perennial/internal/task"
)

// limit bounds what a test waits for.
const limit = 30 * time.Second

func spec(do string, parallelism int) job.Spec {
	return job.Spec{ID: job.NewID(), Name: "testjob", Args: []string{"--do", do}, Parallelism: parallelism}
}

// plan runs this binary as a planner.
func plan(t *testing.T, s job.Spec) (g *job.Graph, stderr string, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, _ := json.Marshal(s)
	var errText bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], s.Args...)
	cmd.Env = append(os.Environ(), task.RoleVariable+"="+task.RolePlan, task.SpecVariable+"="+string(b))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, &errText
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, _ := io.ReadAll(r)
	if err := cmd.Wait(); err != nil {
		return nil, errText.String(), err
	}
	return g, errText.String(), json.Unmarshal(out, &g)
}

func mustPlan(t *testing.T, s job.Spec) *job.Graph {
	t.Helper()
	g, stderr, err := plan(t, s)
	if err != nil {
		t.Fatalf("plan: %v\n%s", err, stderr)
	}
	return g
}

// child is a task process and the end of its sockets that a TaskManager has.
type child struct {
	t              *testing.T
	cmd            *exec.Cmd
	control        *rpc.Conn
	data           *net.UnixConn
	stdout, stderr bytes.Buffer
	address        string // of the listener that stands for the TaskManager's data port
	exited         chan error
	messages       chan rpc.Message
	seen           map[job.Subtask]rpc.SubtaskReport // the last of each, by the messages received so far
}

func socketPair(t *testing.T) (ours *net.UnixConn, theirs *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	f := os.NewFile(uintptr(fds[0]), "ours")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn), os.NewFile(uintptr(fds[1]), "theirs")
}

// newChild starts a task process, which waits for Start, and its data port.
func newChild(t *testing.T, s job.Spec) *child {
	t.Helper()
	control, theirControl := socketPair(t)
	data, theirData := socketPair(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &child{
		t: t, control: rpc.New(control), data: data, address: listener.Addr().String(),
		exited: make(chan error, 1), messages: make(chan rpc.Message, 1000),
		seen: map[job.Subtask]rpc.SubtaskReport{},
	}
	c.cmd = exec.Command(os.Args[0], s.Args...)
	c.cmd.Env = append(os.Environ(), task.RoleVariable+"="+task.RoleTask)
	c.cmd.ExtraFiles = []*os.File{theirControl, theirData}
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirControl.Close()
	theirData.Close()
	var wg sync.WaitGroup
	wg.Go(func() { c.exited <- c.cmd.Wait() })
	wg.Go(c.read)
	wg.Go(func() { c.handOver(listener) })
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended already
		listener.Close()
		control.Close()
		data.Close()
		wg.Wait()
	})
	return c
}

// read collects what the process says.
func (c *child) read() {
	defer close(c.messages)
	for {
		_, m, err := c.control.Receive()
		if err != nil {
			return
		}
		c.messages <- m
	}
}

// handOver does what a TaskManager does with data connections: it reads the preamble and passes
// the descriptor on.
func (c *child) handOver(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		var preamble [48]byte
		if _, err := io.ReadFull(conn, preamble[:]); err != nil || string(preamble[:8]) != "PRNLdat2" {
			c.t.Errorf("data connection began with %q (%v)", preamble[:8], err)
		}
		f, err := conn.(*net.TCPConn).File()
		if err != nil {
			c.t.Error(err)
			return
		}
		_, _, err = c.data.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(f.Fd())), nil)
		if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
			c.t.Error(err)
		}
		f.Close()
		conn.Close()
	}
}

func (c *child) start(s job.Spec, hash string, slots []int, peers map[string]string) {
	c.t.Helper()
	c.startWith(nil, s, hash, slots, peers)
}

func (c *child) startWith(lease *rpc.Lease, s job.Spec, hash string, slots []int, peers map[string]string) {
	c.t.Helper()
	d := rpc.Deploy{Spec: s, GraphHash: hash, Attempt: 1, Slots: slots, Peers: peers}
	if err := c.control.Send(rpc.Header{}, rpc.Start{Deploy: d, Local: c.address, Lease: lease}); err != nil {
		c.t.Fatal(err)
	}
}

// until receives messages until one makes done true.
func (c *child) until(what string, done func(rpc.Message) bool) {
	c.t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case m, ok := <-c.messages:
			if !ok {
				c.t.Fatalf("the process ended before: %s\n%s", what, c.wait())
			}
			if status, ok := m.(rpc.Status); ok {
				for _, r := range status.Subtasks {
					c.seen[r.Subtask] = r
				}
			}
			if done(m) {
				return
			}
		case <-timeout:
			c.t.Fatalf("timed out: %s", what)
		}
	}
}

// wait waits for the exit and returns what is known of it.
func (c *child) wait() string {
	c.t.Helper()
	select {
	case err := <-c.exited:
		c.exited <- err
		return fmt.Sprintf("%v\n%s", err, c.stderr.String())
	case <-time.After(limit):
		c.t.Fatal("the process does not end")
		return ""
	}
}

func (c *child) status() int {
	c.wait()
	return c.cmd.ProcessState.ExitCode()
}

// states waits until all n subtasks are final.
func (c *child) states(n int) map[job.Subtask]rpc.SubtaskReport {
	c.t.Helper()
	final := func() bool {
		count := 0
		for _, r := range c.seen {
			if r.State.Terminal() {
				count++
			}
		}
		return count == n
	}
	if !final() {
		c.until(fmt.Sprintf("%d final subtasks", n), func(rpc.Message) bool { return final() })
	}
	return c.seen
}

func subtasks(g *job.Graph, slots ...int) int {
	n := 0
	for _, s := range slots {
		n += len(g.SlotSubtasks(s))
	}
	return n
}

func TestPlanProcess(t *testing.T) {
	s := spec("sum", 2)
	g := mustPlan(t, s)
	if g.Name != "testjob" || g.Slots() != 2 || !g.Bounded || g.Hash() != mustPlan(t, s).Hash() {
		t.Errorf("graph %+v", g)
	}
	s.Args = nil
	_, stderr, err := plan(t, s)
	if err == nil || !strings.Contains(stderr, "missing arguments: do; pass them as --do VALUE") {
		t.Errorf("without arguments: %v, %q", err, stderr)
	}
}

func TestOneProcess(t *testing.T) {
	s := spec("sum", 2)
	g := mustPlan(t, s)
	c := newChild(t, s)
	c.start(s, g.Hash(), []int{0, 1}, map[string]string{"0": c.address, "1": c.address})
	c.until("Ready", func(m rpc.Message) bool { r, ok := m.(rpc.Ready); return ok && r.GraphHash == g.Hash() })
	for id, r := range c.states(subtasks(g, 0, 1)) {
		if r.State != job.Finished {
			t.Errorf("subtask %v: %+v", id, r)
		}
	}
	var last rpc.Progress
	c.until("the last Progress", func(m rpc.Message) bool { p, ok := m.(rpc.Progress); last = p; return ok })
	c.refuses(s.ID)
	c.cancel()
	in := uint64(0)
	for i, id := range last.Subtasks {
		if g.Vertices[id.Vertex].Name == "numbers" {
			in += last.Counters[i].In
		}
	}
	if in != records {
		t.Errorf("the source's subtasks count %d records, want %d", in, records)
	}
	checkSum(t, c.stdout.String())
}

func checkSum(t *testing.T, stdout string) {
	t.Helper()
	if want := fmt.Sprintf("sum=%d\n", records*(records-1)/2); !strings.Contains(stdout, want) {
		t.Errorf("printed %q, want %q", stdout, want)
	}
}

// refuses makes sure that the process still answers its peers: one of another attempt is told
// that it has come to the wrong one.
func (c *child) refuses(id job.ID) {
	c.t.Helper()
	x := shuffle.NewExchange(shuffle.Config{Job: id, Attempt: 2, Log: slog.New(slog.DiscardHandler)})
	defer x.Close()
	codec, err := record.CodecOf[uint64]()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := shuffle.RemoteOutput(x, shuffle.Channel{Job: id, Attempt: 2}, c.address, codec)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(c.t.Context(), limit)
	defer stop()
	w := shuffle.NewWriter(shuffle.Forward[uint64](), []shuffle.Output[uint64]{out}, shuffle.WriterConfig{Context: ctx})
	if err := errors.Join(w.End(), w.Drain()); err == nil || !strings.Contains(err.Error(), "attempt 1 of job") {
		c.t.Errorf("the process does not answer: %v", err)
	}
}

// cancel tells the process to end, and requires that it does so in order.
func (c *child) cancel() {
	c.t.Helper()
	if err := c.control.Send(rpc.Header{}, rpc.Cancel{}); err != nil {
		c.t.Fatal(err)
	}
	if status := c.status(); status != 0 {
		c.t.Errorf("exit status %d: %s", status, c.wait())
	}
}

// TestTwoProcesses: half of the records travel between processes, and each answers the other
// until both are told that the attempt is over.
func TestTwoProcesses(t *testing.T) {
	s := spec("sum", 2)
	g := mustPlan(t, s)
	a, b := newChild(t, s), newChild(t, s)
	peers := map[string]string{"0": a.address, "1": b.address}
	a.start(s, g.Hash(), []int{0}, peers)
	b.start(s, g.Hash(), []int{1}, peers)
	for slot, c := range []*child{a, b} {
		for id, r := range c.states(subtasks(g, slot)) {
			if r.State != job.Finished {
				t.Errorf("subtask %v: %+v", id, r)
			}
		}
	}
	for _, c := range []*child{a, b} {
		c.refuses(s.ID)
	}
	for _, c := range []*child{a, b} {
		c.cancel()
	}
	checkSum(t, a.stdout.String()+b.stdout.String())
}

func TestAnotherGraph(t *testing.T) {
	s := spec("endless", 1)
	g := mustPlan(t, s)
	s.Args = []string{"--do", "another"}
	c := newChild(t, s)
	c.start(s, g.Hash(), []int{0}, map[string]string{"0": c.address})
	if status := c.status(); status != 1 || !strings.Contains(c.wait(), "same graph in every process") {
		t.Errorf("status %d: %s", status, c.wait())
	}
}

func TestCancel(t *testing.T) {
	s := spec("endless", 2)
	g := mustPlan(t, s)
	c := newChild(t, s)
	c.start(s, g.Hash(), []int{0, 1}, map[string]string{"0": c.address, "1": c.address})
	c.until("Progress that counts", func(m rpc.Message) bool {
		p, ok := m.(rpc.Progress)
		return ok && len(p.Counters) == subtasks(g, 0, 1) && p.Counters[1].In+p.Counters[2].In > 0
	})
	if err := c.control.Send(rpc.Header{}, rpc.Cancel{}); err != nil {
		t.Fatal(err)
	}
	canceled := 0
	for id, r := range c.states(subtasks(g, 0, 1)) {
		switch r.State {
		case job.Canceled:
			canceled++
		case job.Finished: // it had nothing more to do
		default:
			t.Errorf("subtask %v: %+v", id, r)
		}
	}
	if canceled == 0 {
		t.Error("no subtask of an endless job was cancelled")
	}
	if status := c.status(); status != 0 {
		t.Errorf("exit status %d: %s", status, c.wait())
	}
}

// TestPanic: the subtask fails with its stack, the others run on until told to end.
func TestPanic(t *testing.T) {
	s := spec("panic", 2)
	g := mustPlan(t, s)
	c := newChild(t, s)
	c.start(s, g.Hash(), []int{0, 1}, map[string]string{"0": c.address, "1": c.address})
	c.until("FAILED", func(m rpc.Message) bool {
		status, ok := m.(rpc.Status)
		if !ok || status.Subtasks[0].State != job.Failed {
			return false
		}
		for _, part := range []string{`operator "bad", subtask 1`, "panic: out of luck", "testJob"} {
			if !strings.Contains(status.Subtasks[0].Failure, part) {
				t.Errorf("failure %q lacks %q", status.Subtasks[0].Failure, part)
			}
		}
		return true
	})
	c.until("Progress of the others", func(m rpc.Message) bool { _, ok := m.(rpc.Progress); return ok })
	c.cancel()
}

// TestTaskManagerDies: the process ends at once, although user code hangs.
func TestTaskManagerDies(t *testing.T) {
	s := spec("stuck", 1)
	g := mustPlan(t, s)
	c := newChild(t, s)
	c.start(s, g.Hash(), []int{0}, map[string]string{"0": c.address})
	c.until("RUNNING", func(m rpc.Message) bool {
		status, ok := m.(rpc.Status)
		return ok && status.Subtasks[0].Subtask.Vertex == 1 && status.Subtasks[0].State == job.Running
	})
	c.control.Close()
	if status := c.status(); status != 1 {
		t.Errorf("exit status %d: %s", status, c.wait())
	}
}
