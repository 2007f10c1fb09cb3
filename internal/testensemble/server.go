package testensemble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// pollInterval is how often a state that cannot be waited for is looked at.
const pollInterval = 25 * time.Millisecond

// Server is one ZooKeeper server of an Ensemble. Its methods may be called at once
// from several goroutines.
type Server struct {
	Addr   string // host:port for clients
	Secure string // the same for TLS, "" if it has none

	install installation
	enter   []string // of the host that it runs on
	dir     string
	starter *starter

	mu   sync.Mutex // held over start and stop alone
	proc *process   // nil: not running
}

// process is one run of a server.
type process struct {
	cmd    *exec.Cmd
	stderr *tail
	exited chan struct{} // closed when cmd has its ProcessState
}

// Pid is the server's process id, 0 while it is not running.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// Kill ends the server with SIGKILL and returns when it is gone. Its files stay.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := s.proc.cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill ZooKeeper server %s: %w", s.Addr, err)
	}
	<-s.proc.exited
	s.proc = nil
	return nil
}

// Freeze stops the server with SIGSTOP: its connections stay open and answer nothing.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server run on.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return fmt.Errorf("signal ZooKeeper server %s: it is not running", s.Addr)
	}
	return s.proc.cmd.Process.Signal(sig)
}

// Start starts a server that was killed, on the same port and with its files as they
// are. It returns at once: Ensemble.WaitServing tells when it takes part again.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return fmt.Errorf("start ZooKeeper server %s: it runs as process %d", s.Addr, s.proc.cmd.Process.Pid)
	}
	p := &process{cmd: s.command(), stderr: &tail{}, exited: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	p.cmd.Stdout = p.stderr
	if err := s.starter.start(p.cmd); err != nil {
		return fmt.Errorf("start ZooKeeper server %s: %w", s.Addr, err)
	}
	go func() {
		_ = p.cmd.Wait() // an exit is told by ProcessState, and to be killed is no error here
		close(p.exited)
	}()
	s.proc = p
	return nil
}

// command has a small heap, and the quick compiler alone: servers in tests live for
// seconds, and share two cores with what is tested.
func (s *Server) command() *exec.Cmd {
	line := slices.Concat(s.enter, []string{s.install.java,
		"-Xms24m", "-Xmx96m", "-Xss256k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Dzookeeper.jmx.log4j.disable=true", "-Dzookeeper.preAllocSize=1024",
		"-cp", s.dir + string(os.PathListSeparator) + s.install.classpath,
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(s.dir, configName)})
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = dieWithParent()
	return cmd
}

// Mode asks the server itself: "leader", "follower", "standalone", or an error if it
// is not serving or does not answer until ctx ends.
func (s *Server) Mode(ctx context.Context) (string, error) {
	if err := s.exit(); err != nil {
		return "", err
	}
	answer, err := ask(ctx, s.Addr, "srvr")
	if err != nil {
		return "", fmt.Errorf("ask ZooKeeper server %s for its mode: %w", s.Addr, err)
	}
	for line := range strings.Lines(answer) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode), nil
		}
	}
	return "", fmt.Errorf("ZooKeeper server %s is not serving: %s", s.Addr, strings.TrimSpace(answer))
}

// Statistics are what a server counts.
type Statistics struct {
	Transactions int64 // of the present leader of the ensemble, as the server knows them
	Nodes        int
}

// Statistics asks the server for what it counts.
func (s *Server) Statistics(ctx context.Context) (n Statistics, err error) {
	answer, err := ask(ctx, s.Addr, "srvr")
	if err != nil {
		return n, fmt.Errorf("ask ZooKeeper server %s for its statistics: %w", s.Addr, err)
	}
	var zxid int64
	for line := range strings.Lines(answer) {
		if text, ok := strings.CutPrefix(line, "Zxid: "); ok {
			zxid, err = strconv.ParseInt(strings.TrimSpace(text), 0, 64)
		} else if text, ok := strings.CutPrefix(line, "Node count: "); ok {
			n.Nodes, err = strconv.Atoi(strings.TrimSpace(text))
		}
		if err != nil {
			return n, fmt.Errorf("ZooKeeper server %s: %q: %w", s.Addr, line, err)
		}
	}
	n.Transactions = zxid & (1<<32 - 1) // above it is the epoch of ZooKeeper's own leader
	return n, nil
}

// errExited marks a server that ended by itself, for which waiting is in vain.
var errExited = errors.New("exited")

// exit is nil while the server runs.
func (s *Server) exit() error {
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("ZooKeeper server %s is not running", s.Addr)
	}
	select {
	case <-p.exited:
		return fmt.Errorf("ZooKeeper server %s %w: %s\n%s", s.Addr, errExited, p.cmd.ProcessState, p.stderr)
	default:
		return nil
	}
}

// ask sends a four-letter word and returns the answer.
func ask(ctx context.Context, addr, word string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	return string(answer), err
}

// tail keeps the last bytes that a process wrote, to show them when it ends.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}

// Running tells whether the server was started and has not ended.
func (s *Server) Running() bool { return s.exit() == nil }
