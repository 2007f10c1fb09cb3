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
	"time"
)

// Place is where the files of one user's processes on one host are. Hosts and users may share the
// directories of pid files and logs, whose names carry both.
type Place struct {
	PIDs string // directory of pid files
	Logs string // directory of logs
	Dir  string // in which processes are started
	User string
	Host string

	patience time.Duration // how long another command may hold the directory of pid files
}

// patience is long beside what a command does under the lock: it reads and writes small files.
const patience = 10 * time.Second

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
	return Place{PIDs: pids, Logs: logs, Dir: dir, User: fileName(name), Host: fileName(host), patience: patience}, nil
}

func fileName(s string) string { return strings.ReplaceAll(s, string(filepath.Separator), "_") }

// Instance is a process that was started, or what is left of it.
type Instance struct {
	Role   string
	Number int
	Label  string // as it was started with
	Group  string // likewise
	PID    int    // as its pid file says; 0 if it says nothing
	Alive  bool   // false: the pid file is of a process that has ended
	Log    string

	birth string // of the process, as its pid file says
	file  string
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
	held := false
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err {
	case nil:
	case syscall.EWOULDBLOCK:
		held = true
	default:
		return i, p.noLocks(i.file, err)
	}
	text, err := os.ReadFile(i.file)
	if err != nil {
		return i, err
	}
	i.read(string(text))
	i.Alive = held && i.birth == birth(i.PID)
	return i, nil
}

// write and read are the lines of a pid file.
func (i Instance) write(f *os.File) error {
	_, err := fmt.Fprintf(f, "%d\n%s\n%s\n%s\n", i.PID, i.Label, i.birth, i.Group)
	return err
}

func (i *Instance) read(text string) {
	lines := append(strings.Split(text, "\n"), "", "", "", "") // it may have been cut short
	i.PID, _ = strconv.Atoi(lines[0])                          // what is no number is 0
	i.Label, i.birth, i.Group = lines[1], lines[2], lines[3]
}

// birth is when a process began, as its kernel counts, or "" where that is not told: not on Linux,
// or of none that runs. With the number it says which process is meant.
func birth(pid int) string {
	const startTime = 22 - 3 // among the fields behind the name, which may have blanks and brackets itself
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) <= startTime {
		return ""
	}
	return fields[startTime]
}

func (p Place) instance(role string, number int) Instance {
	name := fmt.Sprintf("perennial-%s-%s-%d-%s", p.User, role, number, p.Host)
	return Instance{Role: role, Number: number, Log: filepath.Join(p.Logs, name+".log"), file: filepath.Join(p.PIDs, name+".pid")}
}

// lock keeps other commands from looking at pid files, so that none takes another's look, which
// locks them for a moment, for a living process.
func (p Place) lock() (unlock func(), err error) {
	f, err := p.own(filepath.Join(p.PIDs, fmt.Sprintf(".perennial-%s-%s.lock", p.User, p.Host)))
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	tooLong := time.After(p.patience)
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return func() { f.Close() }, nil
		case syscall.EWOULDBLOCK:
		default:
			f.Close()
			return nil, p.noLocks(f.Name(), err)
		}
		select {
		case <-tick.C:
		case <-tooLong:
			f.Close()
			return nil, fmt.Errorf("%s has been locked by another process for %s: end that (fuser %s tells which it is), and try again", f.Name(), p.patience, f.Name())
		}
	}
}

// own opens a file that only this user can open, so that nobody else can lock it. Where users share the directory a link with
// this name may be another's, to a file of this user that would be written over.
func (p Place) own(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err == nil {
		if err = f.Chmod(0o600); err != nil { // it may have been there
			f.Close()
		}
	}
	if err != nil {
		return nil, p.unwritable("PERENNIAL_PID_DIR", p.PIDs, err)
	}
	return f, nil
}

func (p Place) noLocks(file string, err error) error {
	return fmt.Errorf("lock %s: %w; PERENNIAL_PID_DIR must be on a file system with locks", file, err)
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

// Held tells whether a process holds the lock of a file.
func Held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == syscall.EWOULDBLOCK
}
