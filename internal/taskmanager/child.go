package taskmanager

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// tailSize is how much of a process's standard error goes into a failure, in bytes.
const tailSize = 8 << 10

// child is a started task process, or with neither control nor data a job binary in plan mode.
type child struct {
	cmd     *exec.Cmd
	pid     int
	control *rpc.Conn     // its fd 3
	data    *net.UnixConn // its fd 4: data connections are handed over here
	deaf    func()        // takes its data connections no more
	stderr  string        // path of the file
	forget  func()        // removes its record from the work directory
	limits  *confined     // nil: it plans
	waited  error         //nolint:unused // of cmd.Wait, where AwaitExit has to call it: not on Linux
}

// startTask starts path as a task process with its own process group, working directory and
// files for its output, and records it in the work directory.
func (n *node) startTask(path, dir string, key attemptKey, d rpc.Deploy) (*child, error) {
	control, childControl, err := socketPair("control")
	if err != nil {
		return nil, err
	}
	defer childControl.Close()
	data, childData, err := socketPair("data")
	if err != nil {
		control.Close()
		return nil, err
	}
	defer childData.Close()
	c := &child{control: rpc.New(control), data: data, stderr: filepath.Join(dir, "stderr")}
	c.cmd, c.forget, err = n.start(func() (*exec.Cmd, error) {
		cmd := command(path, dir, "task", d.Spec)
		cmd.Env = n.limiter.limits.share(len(d.Slots), n.cfg.Slots).environ(cmd.Env)
		cmd.ExtraFiles = []*os.File{childControl, childData}
		return cmd, openOutputs(cmd, dir)
	})
	if err != nil {
		control.Close()
		data.Close()
		return nil, explainStart(path, err)
	}
	c.pid = c.cmd.Process.Pid
	c.limits = n.limiter.confine(key, d.Slots, c.pid)
	n.receivers.add(key, data)
	c.deaf = func() { n.receivers.remove(key) }
	return c, nil
}

// command is how a job binary is called. It gets the environment of the TaskManager without
// the cluster's own settings, which are none of a job's business, but for that of failpoints.
func command(path, dir, role string, spec job.Spec) *exec.Cmd {
	cmd := exec.Command(path, spec.Args...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PERENNIAL_") || strings.HasPrefix(v, failpoint.Variable+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PERENNIAL_ROLE="+role)
	cmd.SysProcAttr = childAttr()
	return cmd
}

func openOutputs(cmd *exec.Cmd, dir string) error {
	stdout, err := os.OpenFile(filepath.Join(dir, "stdout"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	stderr, err := os.OpenFile(filepath.Join(dir, "stderr"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		stdout.Close()
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return nil
}

// start starts the command that build makes and records the process. While another child is
// between fork and exec it may hold a binary open that was just written; the system then
// answers "text file busy", and the start is tried again.
func (n *node) start(build func() (*exec.Cmd, error)) (*exec.Cmd, func(), error) {
	for try := 0; ; try++ {
		cmd, err := build()
		if err != nil {
			return nil, nil, err
		}
		err = n.spawner.start(cmd)
		closeFile(cmd.Stdout)
		closeFile(cmd.Stderr)
		if errors.Is(err, syscall.ETXTBSY) && try < 50 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		forget, err := n.work.record(cmd.Process.Pid)
		if err != nil {
			killGroup(cmd.Process.Pid)
			_ = cmd.Wait()
			return nil, nil, err
		}
		return cmd, forget, nil
	}
}

func closeFile(w io.Writer) {
	if f, ok := w.(*os.File); ok && f != nil {
		f.Close()
	}
}

// PID implements Child, as do the others.
func (c *child) PID() int { return c.pid }

func (c *child) Control() *rpc.Conn { return c.control }

// Kill is called only before reap, so that the number cannot be another's yet.
func (c *child) Kill() { killGroup(c.pid) }

func (c *child) Reap() string { return c.limits.explain(c.reap()) }

func (c *child) LastWords() string { return lastWords(c.stderr) }

// reap takes the exit status of a process that AwaitExit has seen end, after it has killed what
// the process left behind in its group.
func (c *child) reap() string {
	c.Kill()
	return describeExit(c.wait())
}

// Close frees what belongs to a process that has been reaped.
func (c *child) Close() {
	c.deaf()
	c.control.Close()
	c.data.Close()
	c.limits.end()
	c.forget()
}

// describeExit is "exited with status 2" or "was killed by signal 9 (killed)".
func describeExit(err error) string {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return ExitedWell
	case !ok:
		return fmt.Sprintf("ended in an unknown way: %v", err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf(KilledBySignal+"%d (%v)", int(ws.Signal()), ws.Signal())
	}
	return fmt.Sprintf("exited with status %d", exit.ExitCode())
}

// lastWords is the end of what the process wrote to its standard error, introduced.
func lastWords(path string) string {
	b, err := tail(path)
	if err != nil {
		return ""
	}
	return introduce(b)
}

// spoken is the same of a process that wrote it for a person: it speaks for itself.
func spoken(path string) string {
	b, err := tail(path)
	if text := strings.TrimSpace(strings.ToValidUTF8(string(b), "?")); err == nil && text != "" {
		return ": " + text
	}
	return lastWords(path)
}

// tail is the end of a file.
func tail(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailSize {
		if _, err := f.Seek(-tailSize, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(f, tailSize))
}

// introduce is how the end of a standard error goes into a failure.
func introduce(stderr []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(stderr), "?"))
	if text == "" {
		return "; it wrote nothing to its standard error"
	}
	return "; the last lines of its standard error:\n" + text
}

// spawner starts children from one operating system thread that lives as long as the
// TaskManager: where the system sends a signal at the parent's death, it means that thread.
type spawner struct {
	starts chan func()
	done   chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{starts: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		for start := range s.starts {
			start()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.starts <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread. No child is left by then.
func (s *spawner) close() {
	close(s.starts)
	<-s.done
}
