package taskmanager

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

const incarnation = "4c1f7e0e-0000-0000-0000-000000000001"

// shared is a storage that all tests use, with the test binary in it as a job binary.
var shared = sync.OnceValues(func() (s sharedStorage, err error) {
	if s.dir, err = os.MkdirTemp("", "taskmanager-test-"); err != nil {
		return s, err
	}
	if s.store, err = storage.Open(context.Background(), s.dir); err != nil {
		return s, err
	}
	if _, err = s.store.CreateIncarnation(context.Background(), incarnation); err != nil {
		return s, err
	}
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	b, err := os.ReadFile(self)
	if err != nil {
		return s, err
	}
	s.artifact, err = put(s.store, b)
	return s, err
})

type sharedStorage struct {
	dir      string
	store    *storage.Storage
	artifact string
}

func cleanUp(code int) {
	if s, err := shared(); err == nil {
		os.RemoveAll(s.dir)
	}
	os.Exit(code)
}

func put(s *storage.Storage, b []byte) (string, error) {
	sum := sha256.Sum256(b)
	name := hex.EncodeToString(sum[:])
	return name, s.PutArtifact(context.Background(), name, bytes.NewReader(b))
}

func sharedFor(t *testing.T) sharedStorage {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testManager is a TaskManager under test.
type testManager struct {
	t       *testing.T
	cancel  context.CancelFunc
	done    chan error
	members chan []string
	workDir string
}

// startManager runs a TaskManager until the test ends. Addresses of JobManagers come from
// announce.
func startManager(t *testing.T, change func(*Config)) *testManager {
	t.Helper()
	m := &testManager{t: t, done: make(chan error, 1), members: make(chan []string, 1)}
	cfg := Config{
		Slots: 2, WorkDir: t.TempDir(), Storage: sharedFor(t).store, Version: "test",
		Logger:   slog.New(slog.NewTextHandler(t.Output(), nil)),
		Timeouts: Timeouts{Stop: 5 * time.Second, Refused: 20 * time.Millisecond},
		Discover: func(ctx context.Context) <-chan []string {
			out := make(chan []string)
			go func() {
				defer close(out)
				var last []string
				for {
					select {
					case last = <-m.members:
					case <-ctx.Done():
						m.requeue(last)
						return
					}
					select {
					case out <- last:
					case <-ctx.Done():
						m.requeue(last)
						return
					}
				}
			}()
			return out
		},
	}
	if change != nil {
		change(&cfg)
	}
	m.workDir = cfg.WorkDir
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() { m.done <- Run(ctx, cfg) }()
	t.Cleanup(func() { m.stop() })
	return m
}

// requeue leaves the last list for the next instance, which discovers anew.
func (m *testManager) requeue(last []string) {
	if last != nil {
		select {
		case m.members <- last:
		default:
		}
	}
}

func (m *testManager) announce(jms ...*fakeJobManager) {
	var addrs []string
	for _, jm := range jms {
		addrs = append(addrs, jm.addr())
	}
	m.members <- addrs
}

// stop ends the TaskManager and returns what Run returned; a second call does nothing.
func (m *testManager) stop() error {
	m.cancel()
	select {
	case err, ok := <-m.done:
		if ok {
			close(m.done)
		}
		return err
	case <-time.After(patience):
		m.t.Error("the TaskManager does not end")
		return nil
	}
}

func fixed(addr string) func(context.Context) <-chan []string {
	return func(ctx context.Context) <-chan []string {
		out := make(chan []string, 1)
		out <- []string{addr}
		go func() { <-ctx.Done(); close(out) }()
		return out
	}
}

// fakeJobManager speaks the JobManager's side, as a test tells it to.
type fakeJobManager struct {
	t     *testing.T
	ln    net.Listener
	id    string
	epoch coordination.Epoch
	// answer is sent to a registration in place of Welcome.
	answer func(rpc.Register) rpc.Message

	mu    sync.Mutex
	conns []*rpc.Conn
	wg    sync.WaitGroup
	joins chan *fakeLink
}

// fakeLink is the connection of one TaskManager.
type fakeLink struct {
	jm       *fakeJobManager
	conn     *rpc.Conn
	register rpc.Register
	in       chan fakeLetter // closed when the connection has ended
}

type fakeLetter struct {
	h rpc.Header
	m rpc.Message
}

func newJobManager(t *testing.T, id string, epoch coordination.Epoch) *fakeJobManager {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	jm := &fakeJobManager{t: t, ln: ln, id: id, epoch: epoch, joins: make(chan *fakeLink, 64)}
	jm.wg.Go(jm.accept)
	t.Cleanup(jm.die)
	return jm
}

func (jm *fakeJobManager) addr() string { return jm.ln.Addr().String() }

func (jm *fakeJobManager) accept() {
	for {
		raw, err := jm.ln.Accept()
		if err != nil {
			return
		}
		jm.wg.Go(func() { jm.serve(raw) })
	}
}

func (jm *fakeJobManager) serve(raw net.Conn) {
	defer raw.Close()
	conn, err := rpc.Accepted(raw, patience)
	if err != nil {
		return
	}
	jm.mu.Lock()
	jm.conns = append(jm.conns, conn)
	jm.mu.Unlock()
	_, m, err := conn.Receive()
	if err != nil {
		return
	}
	r, ok := m.(rpc.Register)
	if !ok {
		jm.t.Errorf("a TaskManager began with %s", m.Kind())
		return
	}
	l := &fakeLink{jm: jm, conn: conn, register: r, in: make(chan fakeLetter, 4096)}
	defer close(l.in)
	var answer rpc.Message = rpc.Welcome{ID: jm.id}
	if jm.answer != nil {
		answer = jm.answer(r)
	}
	if err := conn.Send(rpc.Header{Cluster: incarnation, Epoch: jm.epoch}, answer); err != nil {
		return
	}
	if _, refused := answer.(rpc.Refused); refused {
		return
	}
	jm.joins <- l
	for {
		h, m, err := conn.Receive()
		if err != nil {
			return
		}
		l.in <- fakeLetter{h, m}
	}
}

// die closes everything, like a killed process.
func (jm *fakeJobManager) die() {
	jm.ln.Close()
	jm.mu.Lock()
	for _, c := range jm.conns {
		c.Close()
	}
	jm.mu.Unlock()
	jm.wg.Wait()
}

// joined waits for a TaskManager to register.
func (jm *fakeJobManager) joined() *fakeLink {
	jm.t.Helper()
	select {
	case l := <-jm.joins:
		return l
	case <-time.After(patience):
		jm.t.Fatal("no TaskManager registers")
		return nil
	}
}

// lead waits for a TaskManager, tells it that jm leads, and returns the Report, too.
func (jm *fakeJobManager) lead() (*fakeLink, rpc.Report) {
	jm.t.Helper()
	l := jm.joined()
	l.send(rpc.Lead{})
	return l, await[rpc.Report](l, nil)
}

func (l *fakeLink) send(m rpc.Message) {
	l.jm.t.Helper()
	l.sendAs(rpc.Header{Cluster: incarnation, Epoch: l.jm.epoch}, m)
}

func (l *fakeLink) sendAs(h rpc.Header, m rpc.Message) {
	l.jm.t.Helper()
	if err := l.conn.Send(h, m); err != nil {
		l.jm.t.Fatalf("send %s: %v", m.Kind(), err)
	}
}

// ended waits until the TaskManager has closed the connection.
func (l *fakeLink) ended() {
	l.jm.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case _, open := <-l.in:
			if !open {
				return
			}
		case <-timeout:
			l.jm.t.Fatal("the connection does not end")
		}
	}
}

// await skips messages until one of type M that satisfies want.
func await[M rpc.Message](l *fakeLink, want func(M) bool) M {
	l.jm.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case got, open := <-l.in:
			if !open {
				l.jm.t.Fatalf("the connection ended; awaited %s", reflect.TypeFor[M]())
			}
			if m, ok := got.m.(M); ok && (want == nil || want(m)) {
				return m
			}
		case <-timeout:
			l.jm.t.Fatalf("no %s as awaited", reflect.TypeFor[M]())
		}
	}
}

// awaitState waits for a Status that has every subtask of the attempt in the state.
func (l *fakeLink) awaitState(n job.Attempt, state job.State) rpc.Status {
	l.jm.t.Helper()
	return await(l, func(s rpc.Status) bool {
		for _, sub := range s.Subtasks {
			if sub.State != state {
				return false
			}
		}
		return s.Attempt == n && len(s.Subtasks) == 2
	})
}

// deployment is a Deploy of a scripted job with two subtasks.
func (l *fakeLink) deployment(id job.ID, n job.Attempt, script string) rpc.Deploy {
	l.jm.t.Helper()
	return rpc.Deploy{
		Instance: l.register.Instance, Attempt: n, GraphHash: graphHash, Slots: []int{0, 1},
		Spec:     job.Spec{ID: id, Artifact: sharedFor(l.jm.t).artifact, Args: []string{script}},
		Subtasks: []job.Subtask{{Vertex: 0, Index: 0}, {Vertex: 0, Index: 1}},
	}
}

// running deploys and waits until every subtask runs.
func (l *fakeLink) running(id job.ID, n job.Attempt, script string) rpc.Status {
	l.jm.t.Helper()
	l.send(l.deployment(id, n, script))
	return l.awaitState(n, job.Running)
}

// tellTask sends a line to the task process over a data connection, and waits for its echo.
func (l *fakeLink) tellTask(id job.ID, n job.Attempt, line string) {
	l.jm.t.Helper()
	c := dialData(l.jm.t, l.register.Data, id, n)
	fmt.Fprintln(c, line)
	got, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || got != line+"\n" {
		l.jm.t.Fatalf("the task process answered %q, %v", got, err)
	}
}

// dialData opens a data connection for an attempt; the test closes it.
func dialData(t *testing.T, addr string, id job.ID, n job.Attempt) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(preamble(id, n)); err != nil {
		t.Fatal(err)
	}
	return c
}

func preamble(id job.ID, n job.Attempt) []byte {
	return binary.BigEndian.AppendUint32([]byte("PRNLdat2"+string(id)+"\x00\x00\x00\x00"), uint32(n))
}

// eventually polls a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// alive reports whether the process exists and is no zombie.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	born, err := birth(pid)
	if err != nil {
		t.Fatal(err)
	}
	return born != ""
}

// freeze stops a process, and waits until each of its threads has: the signal is on its way when kill returns.
func freeze(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for running := true; running; {
		if ctx.Err() != nil {
			t.Fatalf("process %d does not stop", pid)
		}
		running = false
		states, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range states { // none where there is no /proc
			stat, err := os.ReadFile(path)
			_, after, _ := strings.Cut(string(stat), ") ")
			running = running || err == nil && !strings.HasPrefix(after, "T")
		}
		runtime.Gosched()
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
