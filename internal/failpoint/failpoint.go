// Package failpoint names the steps of a checkpoint, of a commit and of a recovery, for the proof that a
// process may die, or stand still, at each of them (internal/chaos).
//
// In production it is off, and a step costs a comparison with nil. It is on in a process that was
// started with Variable, which names a directory: a file in it with the name of a point, as Arm writes it, is taken away by
// the first process that comes to the point, which then does to itself what the file says. So it
// happens once, whoever comes there later. It is a leaf, starts no goroutine, and does I/O only where it is on.
package failpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Variable is the environment variable that names the directory.
const Variable = "PERENNIAL_FAILPOINTS"

// Action is what a process does to itself.
type Action string

// The actions.
const (
	Kill Action = "kill" // SIGKILL
	Stop Action = "stop" // SIGSTOP; it goes on when it is told to
)

// Reached says that this process is at the point. It returns at once unless the point is armed.
func (p Point) Reached() {
	if on != nil {
		on.reached(p)
	}
}

// on is nil in production; it is set before main begins, and never changed.
var on = open(os.Getenv(Variable))

// armory is the directory, and how often this process has come to each point since that was armed.
type armory struct {
	dir string
	mu  sync.Mutex
	met map[Point]int
}

func open(dir string) *armory {
	if dir == "" {
		return nil
	}
	return &armory{dir: dir, met: map[Point]int{}}
}

// Arm has the process that first comes to the point for the nth time do the action. Count is from now on, in each process.
func Arm(dir string, p Point, a Action, nth int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	written := filepath.Join(dir, ".new")
	if err := os.WriteFile(written, fmt.Appendf(nil, "%s %d", a, nth), 0o644); err != nil {
		return err
	}
	return os.Rename(written, file(dir, p)) // whoever sees it sees all of it
}

// Disarm takes back what Arm did, and tells whether a process had come to the point.
func Disarm(dir string, p Point) (hit bool, err error) {
	hit, err = Hit(dir, p)
	if err == nil && !hit {
		if err = os.Remove(file(dir, p)); errors.Is(err, fs.ErrNotExist) {
			return Hit(dir, p)
		}
	}
	return hit, err
}

// Hit tells whether a process has come to the point since it was last armed, and did what it was to.
func Hit(dir string, p Point) (bool, error) {
	_, err := os.Stat(spent(dir, p))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func file(dir string, p Point) string  { return filepath.Join(dir, p.String()) }
func spent(dir string, p Point) string { return file(dir, p) + ".hit" }

func (a *armory) reached(p Point) {
	if p == None {
		return
	}
	a.mu.Lock()
	action, due := a.take(p)
	a.mu.Unlock()
	if due {
		act(action)
	}
}

// take tells what is to be done now, if anything is.
func (a *armory) take(p Point) (action Action, due bool) {
	var nth int
	b, err := os.ReadFile(file(a.dir, p))
	if err != nil {
		a.met[p] = 0
		return "", false
	}
	if _, err := fmt.Sscanf(string(b), "%s %d", &action, &nth); err != nil {
		panic(fmt.Sprintf("failpoint: %s says %q", file(a.dir, p), b))
	}
	if a.met[p]++; a.met[p] < nth {
		return "", false
	}
	return action, os.Rename(file(a.dir, p), spent(a.dir, p)) == nil // one process succeeds
}
