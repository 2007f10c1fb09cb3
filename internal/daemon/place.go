package daemon

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Place is where the files of one user's processes on one host are. Hosts and users may share the
// directories: names carry both.
type Place struct {
	PIDs string // directory of pid files
	Logs string // directory of logs
	Dir  string // in which processes are started
	User string
	Host string
}

// Here is a Place of this process's user and host.
func Here(pids, logs, dir string) (Place, error) {
	host, err := os.Hostname()
	if err != nil {
		return Place{}, fmt.Errorf("the name of this host: %w", err)
	}
	name := fmt.Sprintf("uid%d", os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return Place{PIDs: pids, Logs: logs, Dir: dir, User: fileName(name), Host: fileName(host)}, nil
}

func fileName(s string) string { return strings.ReplaceAll(s, string(filepath.Separator), "_") }

// Instance is a process that was started, or what is left of it.
type Instance struct {
	Role   string
	Number int
	Label  string // as it was started with
	PID    int    // as its pid file says; 0 if it says nothing
	Alive  bool   // false: the pid file is of a process that has ended
	Log    string

	file string
}

func (i Instance) String() string {
	s := fmt.Sprintf("%s %d", i.Role, i.Number)
	if i.Label != "" && i.Label != strconv.Itoa(i.Number) {
		s += " (" + i.Label + ")"
	}
	return s
}

// List is every instance of a role of which there is a pid file, by number.
func (p Place) List(role string) ([]Instance, error) {
	if _, err := os.Stat(p.PIDs); err != nil {
		return nil, nil //nolint:nilerr // nothing was ever started here
	}
	unlock, err := p.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return p.list(role)
}

// list is List under the lock.
func (p Place) list(role string) ([]Instance, error) {
	entries, err := os.ReadDir(p.PIDs)
	if err != nil {
		return nil, err
	}
	var all []Instance
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), "perennial-"+p.User+"-"+role+"-")
		name, ok2 := strings.CutSuffix(name, "-"+p.Host+".pid")
		number, err := strconv.Atoi(name)
		if !ok || !ok2 || err != nil {
			continue
		}
		i, err := p.look(role, number)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Instance) int { return a.Number - b.Number })
	return all, nil
}

// look reads a pid file, under the lock.
func (p Place) look(role string, number int) (Instance, error) {
	i := p.instance(role, number)
	f, err := os.Open(i.file)
	if err != nil {
		return i, err
	}
	defer f.Close()
	i.Alive = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
	text, err := os.ReadFile(i.file)
	if err != nil {
		return i, err
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	i.PID, _ = strconv.Atoi(first) // what is no number is 0
	i.Label = strings.TrimSpace(rest)
	return i, nil
}

func (p Place) instance(role string, number int) Instance {
	name := fmt.Sprintf("perennial-%s-%s-%d-%s", p.User, role, number, p.Host)
	return Instance{Role: role, Number: number, Log: filepath.Join(p.Logs, name+".log"), file: filepath.Join(p.PIDs, name+".pid")}
}

// lock keeps other commands from looking at pid files, so that none takes another's look, which
// locks them for a moment, for a living process.
func (p Place) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(p.PIDs, fmt.Sprintf(".perennial-%s-%s.lock", p.User, p.Host)), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, p.unwritable("PERENNIAL_PID_DIR", p.PIDs, err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR { //nolint:errorlint // a system call returns the very number
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w; PERENNIAL_PID_DIR must be on a file system with locks", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// prepare makes the directories.
func (p Place) prepare() error {
	for _, d := range []struct{ variable, dir string }{{"PERENNIAL_DATA_DIR", p.Dir}, {"PERENNIAL_PID_DIR", p.PIDs}, {"PERENNIAL_LOG_DIR", p.Logs}} {
		if err := os.MkdirAll(d.dir, 0o755); err != nil {
			return p.unwritable(d.variable, d.dir, err)
		}
	}
	return nil
}

func (p Place) unwritable(variable, dir string, err error) error {
	return fmt.Errorf("%s cannot be used by %s: %w; set %s to a directory that can be written", dir, p.User, err, variable)
}
