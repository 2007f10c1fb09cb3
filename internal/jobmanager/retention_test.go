package jobmanager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// idAt is an id that was made at a time.
func idAt(at time.Time, n int) job.ID {
	return job.ID(fmt.Sprintf("%012x%020x", at.UnixMilli(), n))
}

func TestExpired(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(made, ended time.Duration, n int) past { return past{idAt(now.Add(-made), n), now.Add(-ended)} }
	for _, c := range []struct {
		name string
		keep Retention
		jobs []past
		want []int // of jobs
	}{
		{"for ever", Retention{}, []past{at(1000*time.Hour, 999*time.Hour, 1)}, nil},
		{"by time", Retention{Time: 2 * time.Hour}, []past{at(9*time.Hour, 3*time.Hour, 1), at(9*time.Hour, time.Hour, 2)}, []int{0}},
		{"a client's clock is ahead", Retention{Time: 2 * time.Hour}, []past{at(-9*time.Hour, 3*time.Hour, 1), at(time.Hour, 3*time.Hour, 2)}, nil},
		{"by number, the newest stay", Retention{Number: 1}, []past{at(9*time.Hour, 4*time.Hour, 1), at(9*time.Hour, 2*time.Hour, 2), at(9*time.Hour, 3*time.Hour, 3)}, []int{2, 0}},
		{"by number, and not what has just ended", Retention{Number: 1}, []past{at(9*time.Hour, time.Minute, 1), at(9*time.Hour, 2*time.Minute, 2)}, nil},
		{"either", Retention{Number: 2, Time: 24 * time.Hour}, []past{at(99*time.Hour, 25*time.Hour, 1), at(9*time.Hour, 2*time.Hour, 2)}, []int{0}},
		{"an id of no time", Retention{Time: time.Hour}, []past{{"x", now.Add(-2 * time.Hour)}}, []int{0}},
	} {
		var want []job.ID
		for _, i := range c.want {
			want = append(want, c.jobs[i].id)
		}
		if got := c.keep.expired(slices.Clone(c.jobs), now); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
	if id := job.NewID(); time.Since(made(id)).Abs() > time.Minute {
		t.Errorf("id %s was made at %v", id, made(id))
	}
}

// A job that ended long ago is forgotten, whoever leads, and its id is refused for ever. What runs stays, however old.
func TestJobsAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.Retention.Time = 100 * time.Millisecond }
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 4)
	tm.dir = t.TempDir()
	tm.start()
	w.leader()
	runs := w.submit(a)
	w.eventually("deployed", func() bool { return w.job(runs).State == job.Running })
	spec := w.spec()
	if _, err := a.Submit(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Submit(t.Context(), spec); err != nil {
		t.Fatal("again: ", err)
	}
	w.eventually("deployed", func() bool {
		tm.mu.Lock()
		defer tm.mu.Unlock()
		return tm.attempts[spec.ID] != nil
	})
	list := w.outputs(tm, spec.ID)
	tm.change(spec.ID, job.Finished, "")
	w.eventually("forgotten", func() bool {
		_, err := a.Job(context.Background(), spec.ID)
		return code(err) == api.NotFound && strings.Contains(err.Error(), "jobs.retention")
	})
	w.eventually("its list of outputs is gone", func() bool {
		lists, err := filepath.Glob(filepath.Join(w.storage.Dir(), "outputs", list+"-*"))
		return err == nil && len(lists) == 0
	})
	if jobs, err := a.Jobs(t.Context()); err != nil || len(jobs) != 1 || jobs[0].ID != runs {
		t.Errorf("jobs: %+v, %v", jobs, err)
	}
	refused := func(n *node) {
		t.Helper()
		older := spec
		older.ID = "0" + spec.ID[1:]
		for _, s := range []job.Spec{spec, older} {
			if _, err := n.Submit(t.Context(), s); code(err) != api.Conflict {
				t.Errorf("job %s, which may have been forgotten, is answered with %v", s.ID, err)
			}
		}
	}
	refused(a)
	a.kill()
	b := w.start("jm-b")
	w.leader(a)
	refused(b)
	if l := b.leading.Load(); len(l.jobs.all()) != 1 {
		t.Errorf("the next leader has read %d jobs", len(l.jobs.all()))
	}
	if j := w.job(runs); j.State != job.Running || j.Attempt != 1 {
		t.Errorf("the job that runs is %s, attempt %d", j.State, j.Attempt)
	}
	if _, err := b.Submit(t.Context(), w.spec()); err != nil {
		t.Error("a new job: ", err)
	}
}

// Records of TaskManagers that died long ago go while a leader leads, however many they are: where they come and go, a term of
// months would leave its successor thousands to read.
func TestDeadTaskManagersAreForgotten(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	l := n.leading.Load()
	long := time.Now().Add(-recordRetention - time.Hour)
	records := map[string]taskManagerRecord{
		"tm-fresh": {State: dead, Ended: time.Now()},
		"tm-held":  {State: dead, Ended: long},
	}
	for i := range 3 * forgetBatch {
		records[fmt.Sprint("tm-old-", i)] = taskManagerRecord{State: dead, Ended: long}
	}
	l.ask(func(r *registry) {
		r.claims["a job"] = []string{"tm-held"}
		for instance, record := range records {
			versions, err := l.term.Commit(t.Context(), coordination.Create(taskManagersPrefix+instance, []byte("{}")))
			if err != nil {
				t.Error(err)
				return
			}
			r.managers[instance] = &taskManager{instance: instance, record: record, version: versions[0]}
		}
	})
	w.eventually("forgotten", func() bool {
		list, err := l.term.List(t.Context(), taskManagersPrefix)
		return err == nil && len(list) == 3
	})
	for _, stays := range []string{"tm-1", "tm-fresh", "tm-held"} {
		if _, err := l.term.Get(t.Context(), taskManagersPrefix+stays); err != nil {
			t.Errorf("%s: %v", stays, err)
		}
	}
	if j := w.job(id); j.State != job.Running || n.leading.Load() != l {
		t.Errorf("the job is %s", j.State)
	}
}

// An intent that is too large for coordination is an object in storage. Each commit makes another, and one of a job is there at a time.
// An export has it whole, and a job that is forgotten leaves none.
func TestLargeIntentsAreRemoved(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) {
		c.Retention.Time = 100 * time.Millisecond
		c.Checkpoints.Interval = 5 * time.Millisecond
	}
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2)
	tm.dir = t.TempDir()
	tm.start()
	w.leader()
	objects := func() int {
		list, err := os.ReadDir(filepath.Join(w.storage.Dir(), "intents"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(list, func(e os.DirEntry) bool { return e.Name()[0] == '.' })) // half written
	}
	spec := w.spec()
	spec.Args = []string{strings.Repeat("x", maxIntent)}
	if _, err := a.Submit(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	w.eventually("checkpoints", func() bool { return w.job(spec.ID).Checkpoints.Completions > 5 })
	if n := objects(); n > 2 { // the one in force, and the one that is about to be
		t.Errorf("%d objects of one job's intent", n)
	}
	w.eventually("an export has it", func() bool { // it may change all the while
		e, err := a.Export(t.Context(), false)
		return err == nil && bytes.Contains(e.File, []byte(spec.Args[0]))
	})
	a.kill()
	b := w.start("jm-b")
	w.leader(a)
	w.eventually("checkpoints", func() bool { return b.leading.Load() != nil && w.job(spec.ID).Checkpoints.Completions > 10 })
	tm.change(spec.ID, job.Finished, "")
	w.eventually("forgotten", func() bool { _, err := b.Job(t.Context(), spec.ID); return code(err) == api.NotFound })
	w.eventually("all are gone, but for one that the leader before may not have committed", func() bool { return objects() <= 1 })
}

// outputs is how the list of what a job puts out is called.
func (w *world) outputs(tm *fakeTaskManager, id job.ID) string {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return fmt.Sprintf("%s-%d", id, tm.attempts[id].deploy.Attempt)
}

func TestRetentionIsChecked(t *testing.T) {
	for _, r := range []Retention{{Time: -1}, {Number: -1}} {
		if err := r.validate(); err == nil || !strings.Contains(err.Error(), "jobs.retention") {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if err := errors.Join((Retention{}).validate()); err != nil {
		t.Error(err)
	}
}
