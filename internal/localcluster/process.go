package localcluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Process is one JobManager or TaskManager that can be killed and started again.
type Process struct {
	Name string // jobmanager-1, taskmanager-2
	Log  string // file that its output goes to

	// Env is added to the environment of the next Start.
	Env []string

	binary string
	args   []string
	enter  []string // comes before the binary
	env    []string // comes after environment()

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Start runs the process; it must not be running.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	line := slices.Concat(p.enter, []string{p.binary}, p.args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = slices.Concat(environment(), p.env, p.Env)
	cmd.SysProcAttr = childAttributes()
	if err := startChild(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() { _ = cmd.Wait(); close(done) }() // ends with the process, which Stop ends
	return nil
}

// Replace has the next Start run another program, such as another release.
func (p *Process) Replace(binary string) { p.binary = binary }

// environment is this process's, without what would configure Perennial.
func environment() []string {
	var kept []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PERENNIAL_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// PID is the process's id while it runs, or of its last run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Running tells whether the process was started and has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// Done is closed when the running process has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return p.done
}

// Signal sends sig, if the process still runs.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	return p.cmd.Process.Signal(sig)
}

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // an error says that it has ended
	<-p.Done()
}

// Terminate asks the process to end and waits for it; when ctx ends first, it kills.
func (p *Process) Terminate(ctx context.Context) {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
	}
}

// Tail is the end of what the process logged, for a message about its death.
func (p *Process) Tail() string {
	f, err := os.Open(p.Log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const size = 4 << 10
	if info, err := f.Stat(); err == nil && info.Size() > size {
		_, _ = f.Seek(-size, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	return fmt.Sprintf("the end of %s:\n%s", filepath.Base(p.Log), text)
}
