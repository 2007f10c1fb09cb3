package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

const (
	logsKept = 5                     // of an instance, beside the one that is written
	poll     = 20 * time.Millisecond // between two looks at a process
	tail     = 4 << 10               // bytes of a log that are shown when a process has ended
)

// pidVariable tells a started process which descriptor is its pid file.
const pidVariable = "PERENNIAL_PID_FD"

// logVariable tells a started process the name of its log, which it may show (internal/inspect).
const logVariable = "PERENNIAL_LOG_FILE"

// Request is for one process.
type Request struct {
	Role   string
	Number int    // of the instance; 0: the lowest that is free
	Group  string // kept with it: who started it together with what else
	// Enough finds, among the instances of the role, the one that makes this start needless. nil:
	// there is none.
	Enough func(all []Instance) (Instance, bool)
	// Command makes the process of a number, once that is known.
	Command func(number int) (Command, error)
}

// Command is a process to start.
type Command struct {
	Label string   // kept with it: what it is called by, beside role and number
	Args  []string // the program first
	Env   []string // all of it
	// Ready tells whether the process does its work. nil: it says so itself, by Ready in its own
	// process.
	Ready func() bool
}

// Starting is a process that was started a moment ago.
type Starting struct {
	Instance
	Stale int // the pid in the pid file that was found, of a process that has ended; 0: none

	place  Place
	cmd    *exec.Cmd
	ready  func() bool
	socket net.PacketConn // nil: ready asks
}

// RunningError says that what is to be started runs.
type RunningError struct{ Instance }

func (e RunningError) Error() string {
	return fmt.Sprintf("%s runs already, as process %d", e.Instance, e.PID)
}

// Start starts an instance of a role, or returns a RunningError. The caller calls Wait.
func (p Place) Start(r Request) (*Starting, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	unlock, err := p.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	i, stale, err := p.choose(r)
	if err != nil {
		return nil, err
	}
	c, err := r.Command(i.Number)
	if err != nil {
		return nil, err
	}
	i.Label, i.Group = c.Label, r.Group
	s := &Starting{Instance: i, Stale: stale, place: p, ready: c.Ready}
	if err := s.spawn(c); err != nil {
		s.hangUp()
		return nil, fmt.Errorf("start %s: %w", i, err)
	}
	return s, nil
}

// choose finds an instance that does not run, under the lock.
func (p Place) choose(r Request) (i Instance, stale int, err error) {
	all, err := p.list(r.Role)
	if err != nil {
		return i, 0, err
	}
	if r.Enough != nil {
		if running, enough := r.Enough(all); enough {
			return i, 0, RunningError{running}
		}
	}
	known := map[int]Instance{}
	for _, i := range all {
		known[i.Number] = i
	}
	n := max(r.Number, 1)
	if r.Number == 0 {
		for known[n].Alive {
			n++
		}
	}
	if known[n].Alive {
		return i, 0, RunningError{known[n]}
	}
	return p.instance(r.Role, n), known[n].PID, nil
}

func (s *Starting) spawn(c Command) error {
	pid, err := s.place.own(s.file)
	if err != nil {
		return err
	}
	defer pid.Close() // the process has its own descriptor, and with it the lock
	if err := syscall.Flock(int(pid.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w: a process that is none of ours holds it; end that (fuser %s tells which it is)", s.file, err, s.file)
	}
	s.cmd = exec.Command(c.Args[0], c.Args[1:]...)
	if s.cmd.Err != nil {
		return s.cmd.Err
	}
	s.cmd.Dir = s.place.Dir
	s.cmd.ExtraFiles = []*os.File{pid} // descriptor 3
	s.cmd.Env = append(c.Env, pidVariable+"=3", logVariable+"="+s.Log)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal that is closed does not end it
	if s.ready == nil {
		if err := s.listen(); err != nil {
			return err
		}
		s.cmd.Env = append(s.cmd.Env, "NOTIFY_SOCKET="+s.socket.LocalAddr().String())
	}
	if err := pid.Truncate(0); err != nil {
		return err
	}
	rotate(s.Log) // no sooner: what fails above leaves the logs of what ran
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return s.place.unwritable("PERENNIAL_LOG_DIR", s.place.Logs, err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		_ = os.Remove(s.file) // a pid file that is left is of no process
		restore(s.Log)
		return err
	}
	s.PID = s.cmd.Process.Pid
	s.birth = birth(s.PID)
	if err = s.write(pid); err != nil { // nobody could stop it later
		err = errors.Join(err, s.cmd.Process.Kill(), s.cmd.Wait())
	}
	return err
}

// numbered is a log of those that came before; 0 is that which is written.
func numbered(log string, n int) string {
	if n == 0 {
		return log
	}
	return log + "." + strconv.Itoa(n)
}

// failed is the log of the last start that failed.
func failed(log string) string { return log + ".failed" }

// rotate makes room for a new log: x.log becomes x.log.1 and so on. A log that cannot be moved is written on. One more
// is kept than there will be, until it is known that the start does not fail.
func rotate(log string) {
	for n := logsKept; n >= 0; n-- {
		_ = os.Rename(numbered(log, n), numbered(log, n+1))
	}
}

// settle ends a rotation.
func settle(log string) { _ = os.Remove(numbered(log, logsKept+1)) }

// restore takes a rotation back: what ran keeps its logs, however often a start fails. The log of the start is put aside.
func restore(log string) {
	_ = os.Rename(log, failed(log))
	for n := range logsKept + 1 {
		_ = os.Rename(numbered(log, n+1), numbered(log, n))
	}
}

// listen opens the socket by which the process says that it is ready, in a directory that only
// this user can enter, and with a short name, as sockets want: TMPDIR may be too long for one.
func (s *Starting) listen() error {
	var problems []error
	for _, base := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(base, "perennial-")
		if err == nil {
			s.socket, err = net.ListenPacket("unixgram", filepath.Join(dir, "ready"))
			if err == nil {
				return nil
			}
			os.RemoveAll(dir)
		}
		problems = append(problems, err)
	}
	return fmt.Errorf("no socket by which it says that it is ready: %w; set TMPDIR to a directory that can be written and has a short name", errors.Join(problems...))
}

func (s *Starting) hangUp() {
	if s.socket == nil {
		return
	}
	s.socket.Close()
	os.RemoveAll(filepath.Dir(s.socket.LocalAddr().String()))
}

// Wait returns true when the process is ready, false if it is not at ctx's deadline, and with an
// error that shows the end of its log if it has ended, or ctx's cause if ctx was cancelled. It is called once.
func (s *Starting) Wait(ctx context.Context) (ready bool, err error) {
	defer s.hangUp()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if s.isReady() {
			settle(s.Log)
			return true, s.cmd.Process.Release()
		}
		alive, err := s.place.alive(s.Instance)
		if err != nil {
			return false, err
		}
		if !alive {
			_ = s.cmd.Wait() // its status is in the message
			log := s.withdraw()
			return false, fmt.Errorf("%s has ended (%s); its log, %s, ends:\n%s", s.Instance, s.cmd.ProcessState, log, end(log))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			settle(s.Log)
			err := s.cmd.Process.Release()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = context.Cause(ctx)
			}
			return false, err
		}
	}
}

// withdraw leaves pid file and logs as if there had been no start, unless another one came since, and returns where its log is.
func (s *Starting) withdraw() (log string) {
	unlock, err := s.place.lock()
	if err != nil {
		return s.Log
	}
	defer unlock()
	if now, err := s.place.look(s.Role, s.Number); err != nil || now.PID != s.PID || now.Alive || os.Remove(s.file) != nil {
		return s.Log
	}
	restore(s.Log)
	return failed(s.Log)
}

func (s *Starting) isReady() bool {
	if s.ready != nil {
		return s.ready()
	}
	_ = s.socket.SetReadDeadline(time.Now().Add(poll)) // a socket of ours has deadlines
	buf := make([]byte, 256)
	n, _, err := s.socket.ReadFrom(buf)
	return err == nil && strings.Contains(string(buf[:n]), sd.SdNotifyReady)
}

// LastLine is what the process has logged last.
func (s *Starting) LastLine() string {
	text := end(s.Log)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func end(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		_, _ = f.Seek(-tail, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	return strings.TrimSpace(string(text))
}
