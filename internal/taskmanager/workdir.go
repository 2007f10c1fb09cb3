package taskmanager

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// What a work directory keeps for the next start: the newest of each.
const (
	keepArtifacts = 20
	keepAttempts  = 50
	keepCopies    = 64 // regions of jobs
)

// workDir is the directory of one TaskManager at a time:
//
//	lock              held by the TaskManager that uses the directory
//	instances         the newest that have used it
//	processes/<pid>   a child that may be alive
//	artifacts/<hash>  job binaries
//	jobs/<id>-<n>/    an attempt's working directory, with its stdout and stderr; <id>-<n>.<r> is that of its region r,
//	                  if not the first
//	scratch/          for what is of no use after a task process, such as its states on disk
//	copies/<id>.<r>/  copies of states of a job's region r, where storage is elsewhere
//	plans/<random>/   likewise of a job binary that plans, until it has
type workDir struct {
	dir       string
	artifacts string
	lock      *os.File
	instances instances

	mu   sync.Mutex
	live map[string]bool // names in jobs/ of attempts that run
}

// processRecord is what a successor must know of a child to end it and no other process.
type processRecord struct {
	PID   int    `json:"pid"`
	Birth string `json:"birth"`
}

// openWorkDir takes the lock and then ends every process that the predecessor has left: from
// then on nothing of an earlier instance of this host runs (R4).
func openWorkDir(ctx context.Context, dir string, wait time.Duration, log *slog.Logger) (*workDir, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("work directory of the TaskManager (taskmanager.dir): %w", err)
	}
	w := &workDir{dir: dir, artifacts: filepath.Join(dir, "artifacts"), live: map[string]bool{}}
	for _, d := range []string{w.artifacts, w.jobs(), w.plans(), w.processes(), w.scratch(), w.states()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("work directory of the TaskManager (taskmanager.dir): %w", err)
		}
	}
	if err := w.takeLock(ctx, wait, log); err != nil {
		return nil, err
	}
	if err := w.endPredecessors(ctx, log); err != nil {
		w.close()
		return nil, err
	}
	w.instances = openInstances(filepath.Join(dir, "instances"), bootID())
	if err := errors.Join(prune(w.artifacts, keepArtifacts, nil), prune(w.jobs(), keepAttempts, nil), prune(w.plans(), 0, nil), prune(w.scratch(), 0, nil), prune(w.states(), 0, nil)); err != nil {
		log.Warn("cannot remove old files", "directory", dir, "error", err)
	}
	return w, nil
}

func (w *workDir) jobs() string      { return filepath.Join(w.dir, "jobs") }
func (w *workDir) plans() string     { return filepath.Join(w.dir, "plans") }
func (w *workDir) scratch() string   { return filepath.Join(w.dir, "scratch") }
func (w *workDir) states() string    { return filepath.Join(w.dir, "copies") }
func (w *workDir) processes() string { return filepath.Join(w.dir, "processes") }

// copies is the directory for copies of a region's states; "" if storage is as near. Those of regions that have not
// written any for the longest time go.
func (w *workDir) copies(remote bool, of partKey) string {
	if !remote {
		return ""
	}
	name := fmt.Sprintf("%s.%d", of.job, of.region)
	_ = prune(w.states(), keepCopies, map[string]bool{name: true}) // what stays is of no harm
	return filepath.Join(w.states(), name)
}

// close gives the lock up.
func (w *workDir) close() { w.lock.Close() }

// takeLock waits a little, as a killed predecessor holds the lock until the system has
// taken it apart.
func (w *workDir) takeLock(ctx context.Context, wait time.Duration, log *slog.Logger) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("work directory of the TaskManager (taskmanager.dir): %w", err)
	}
	var locked bool
	inTime, err := poll(ctx, wait, func() (bool, error) {
		var err error
		locked, err = lockFile(f)
		return locked, err
	})
	switch {
	case err != nil:
		err = fmt.Errorf("lock the work directory %s: %w", w.dir, err)
	case !inTime:
		err = fmt.Errorf("another TaskManager uses the work directory %s; stop it, or set taskmanager.dir to another directory for this one", w.dir)
	default:
		w.lock = f
		return nil
	}
	f.Close()
	return err
}

// poll asks until the answer is yes, an error, or the time is over.
func poll(ctx context.Context, limit time.Duration, ask func() (bool, error)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return yes, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, nil
		}
	}
}

// record notes a child, and returns how to strike it out once it has been waited for.
func (w *workDir) record(pid int) (forget func(), err error) {
	born, err := birth(pid)
	if err != nil {
		return nil, fmt.Errorf("record process %d: %w", pid, err)
	}
	b, err := json.Marshal(processRecord{PID: pid, Birth: born})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.processes(), fmt.Sprint(pid))
	temp := path + ".tmp"
	if err := os.WriteFile(temp, b, 0o644); err != nil {
		return nil, fmt.Errorf("record process %d: %w", pid, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, fmt.Errorf("record process %d: %w", pid, err)
	}
	return func() { os.Remove(path) }, nil
}

// endPredecessors kills the processes that are recorded and still the ones that were.
func (w *workDir) endPredecessors(ctx context.Context, log *slog.Logger) error {
	files, err := os.ReadDir(w.processes())
	if err != nil {
		return fmt.Errorf("work directory of the TaskManager (taskmanager.dir): %w", err)
	}
	for _, f := range files {
		path := filepath.Join(w.processes(), f.Name())
		var r processRecord
		b, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(b, &r) == nil && r.PID > 1 && r.Birth != "" {
			if err := endProcess(ctx, r, log); err != nil {
				return err
			}
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("work directory of the TaskManager (taskmanager.dir): %w", err)
		}
	}
	return nil
}

func endProcess(ctx context.Context, r processRecord, log *slog.Logger) error {
	say := sync.OnceFunc(func() { log.Info("ending a process that the last TaskManager here has left", "pid", r.PID) })
	ended, err := poll(ctx, 10*time.Second, func() (bool, error) {
		born, err := birth(r.PID)
		if err != nil || born != r.Birth {
			return true, err
		}
		say()
		killGroup(r.PID)
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("look for process %d of the last TaskManager here: %w", r.PID, err)
	}
	if !ended {
		return fmt.Errorf("process %d of the last TaskManager here does not end; without that its tasks may run twice", r.PID)
	}
	return nil
}

// dir is the name of the attempt's directory.
func (k attemptKey) dir() string {
	if k.region == 0 {
		return fmt.Sprintf("%s-%d", k.job, k.attempt)
	}
	return fmt.Sprintf("%s-%d.%d", k.job, k.attempt, k.region)
}

// attemptDir makes the directory of an attempt. It stays until release has been called and
// newer ones have come.
func (w *workDir) attemptDir(of attemptKey) (string, error) {
	name := of.dir()
	dir := filepath.Join(w.jobs(), name)
	w.mu.Lock()
	w.live[name] = true
	w.mu.Unlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("directory of the attempt: %w", err)
	}
	return dir, nil
}

// release keeps the directory of an ended attempt for a person to read, and removes the oldest
// of those that are kept.
func (w *workDir) release(of attemptKey) error {
	w.mu.Lock()
	delete(w.live, of.dir())
	live := maps.Clone(w.live)
	w.mu.Unlock()
	return prune(w.jobs(), keepAttempts, live)
}

// prune removes all but the newest entries of a directory; those in live are not looked at.
func prune(dir string, keep int, live map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= keep {
		return err
	}
	type aged struct {
		name string
		at   time.Time
	}
	var all []aged
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !live[e.Name()] {
			all = append(all, aged{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Compare(b.at.UnixNano(), a.at.UnixNano()) })
	var failed error
	for _, a := range all[min(keep, len(all)):] {
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(dir, a.name)))
	}
	return failed
}
