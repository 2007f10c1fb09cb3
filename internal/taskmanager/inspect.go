package taskmanager

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

// maxInspections bounds the questions that are answered at once.
const maxInspections = 8

// inspect answers a leader's question beside the table, or passes it on.
func (t *table) inspect(l *link, m rpc.Inspect) {
	if m.PID != 0 {
		if p := t.processOf(m.Job, m.PID); p != nil {
			p.say(m) // its answer comes as its other words do
		} else {
			t.answer(l, rpc.Inspected{Query: m.Query, Error: fmt.Sprintf("no task process %d of job %s runs on this TaskManager", m.PID, m.Job)})
		}
		return
	}
	if t.inspecting >= maxInspections {
		return // the asker asks again
	}
	t.inspecting++
	t.wg.Go(func() {
		select {
		case t.events <- inspected{l, t.node.inspect(t.alive, m)}:
		case <-t.alive.Done():
		}
	})
}

// inspected: a question has been answered.
type inspected struct {
	l *link
	m rpc.Inspected
}

func (v inspected) apply(t *table) {
	t.inspecting--
	t.answer(v.l, v.m)
}

// answer sends what may be lost, where it is in nobody's way.
func (t *table) answer(l *link, m rpc.Inspected) {
	if l != nil && l.roomy() {
		t.post(l, m)
	}
}

// processOf is the task process of a job that has this pid, or nil.
func (t *table) processOf(id job.ID, pid int) *process {
	for of, e := range t.parts {
		if of.job == id && e.current != nil && e.current.pid == pid {
			return e.current.process
		}
	}
	return nil
}

// inspect answers what this process can.
func (n *node) inspect(ctx context.Context, m rpc.Inspect) rpc.Inspected {
	answer := rpc.Inspected{Query: m.Query}
	var err error
	switch {
	case m.Probe != nil:
		answer.Piece.Probed = m.Probe.Run(ctx, n.cfg.Storage, n.cfg.Dial, n.cfg.Version)
	case m.Profile != nil:
		answer.Piece, err = n.profiles.Answer(m.Question)
	case m.Job != "":
		answer.Files, err = n.work.files(m.Job)
	case m.File != "":
		answer.Piece, err = n.work.read(m.Question)
	default:
		answer.Piece, err = inspect.OwnLog(m.Question)
	}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer
}

// streams are the files of an attempt that are shown.
var streams = []string{"stdout", "stderr"}

// files lists the output of a job's attempts that is still here, the oldest attempt first.
func (w *workDir) files(id job.ID) (list []inspect.File, err error) {
	entries, err := os.ReadDir(w.jobs())
	if err != nil {
		return nil, fmt.Errorf("list the output of task processes: %w", err)
	}
	for _, e := range entries {
		key, ok := parseAttemptDir(e.Name())
		if !ok || key.job != id {
			continue
		}
		for _, stream := range streams {
			name := e.Name() + "/" + stream
			if info, err := os.Stat(filepath.Join(w.jobs(), name)); err == nil {
				list = append(list, inspect.File{Name: name, Stream: stream, Attempt: int(key.attempt), Region: key.region, Size: info.Size(), Modified: info.ModTime()})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b inspect.File) int { return a.Attempt - b.Attempt })
	return list, nil
}

// read answers a question about one of files.
func (w *workDir) read(q inspect.Question) (inspect.Piece, error) {
	dir, stream, _ := strings.Cut(q.File, "/")
	if _, ok := parseAttemptDir(dir); !ok || !slices.Contains(streams, stream) {
		return inspect.Piece{}, fmt.Errorf("%q is no output of a task process", q.File)
	}
	f, err := os.OpenInRoot(w.jobs(), q.File)
	if err != nil {
		return inspect.Piece{}, fmt.Errorf("the output of the task process is not here any more: %w", err)
	}
	defer f.Close()
	return inspect.Read(f, q)
}

// parseAttemptDir reads what attemptKey.dir writes.
func parseAttemptDir(name string) (key attemptKey, ok bool) {
	at := strings.LastIndex(name, "-")
	if at < 0 {
		return key, false
	}
	id, err := job.ParseID(name[:at])
	key.job = id
	if err != nil {
		return key, false
	}
	if _, err := fmt.Sscanf(name[at+1:], "%d.%d", &key.attempt, &key.region); err != nil {
		key.region = 0
		if _, err := fmt.Sscanf(name[at+1:], "%d", &key.attempt); err != nil {
			return key, false
		}
	}
	return key, key.dir() == name
}
