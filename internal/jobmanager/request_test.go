package jobmanager

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// outcome waits until nothing more is to come of a request, whoever leads.
func (w *world) outcome(id, request job.ID) (r api.Request) {
	w.t.Helper()
	w.eventually("the request has ended", func() bool {
		for _, r = range w.job(id).Requests {
			if r.ID == request {
				return !r.Open()
			}
		}
		return false
	})
	return r
}

func (w *world) runningOn(n *node, tm *fakeTaskManager) job.ID {
	w.t.Helper()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	return id
}

// A request has one effect, and one answer, however often it is sent, and to whom (R9, I7).
func TestRequestOnceForItsID(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.runningOn(n, tm)
	r := job.Request{ID: job.NewID(), Kind: job.TakeSavepoint, Directory: t.TempDir()}
	errs := make(chan error)
	for range 3 {
		go func() { _, err := n.Request(t.Context(), id, r); errs <- err }()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	done := w.outcome(id, r.ID)
	if want := filepath.Join(r.Directory, fmt.Sprintf("planned-%s-1", id.Short())); done.Savepoint != want || done.Failure != "" {
		t.Fatalf("got %+v, want %s", done, want)
	}
	s, err := storage.OpenSavepoint(t.Context(), done.Savepoint)
	if err != nil || s.Job != id || s.JobName != "planned" {
		t.Errorf("got %+v, %v", s, err)
	}
	other := r
	other.Directory = "/elsewhere"
	if _, err := n.Request(t.Context(), id, other); code(err) != api.Conflict {
		t.Errorf("the same id for something else: %v", err)
	}
	if _, err := n.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await(id, job.Canceled)
	n.kill()
	<-n.done
	next := w.start("jm-b")
	w.leader(n)
	j, err := next.Request(t.Context(), id, r)
	if err != nil || len(j.Requests) != 1 || j.Requests[0].Savepoint != done.Savepoint {
		t.Errorf("the next leader answered %+v, %v", j.Requests, err)
	}
	if _, err := next.Request(t.Context(), id, job.Request{ID: job.NewID(), Kind: job.TakeCheckpoint}); code(err) != api.Conflict || !strings.Contains(err.Error(), "CANCELED") {
		t.Errorf("a request to a job that has ended: %v", err)
	}
	if got := tm.did("triggers 1 stop=false") + tm.did("triggers 2 stop=false"); got != 1 {
		t.Errorf("%d checkpoints were taken", got)
	}
}

// The leader dies before a stop's trigger was heard. The next one goes on with it, to the end of the job.
func TestStopOutlivesLeader(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2)
	tm.deaf["trigger"] = true
	tm.start()
	w.leader()
	id := w.runningOn(n, tm)
	r := job.Request{ID: job.NewID(), Kind: job.StopJob}
	if _, err := n.Request(t.Context(), id, r); err != nil {
		t.Fatal(err)
	}
	w.eventually("triggered", func() bool { return tm.did("deaf to trigger") == 1 })
	n.kill()
	<-n.done
	tm.hear()
	w.start("jm-b")
	w.leader(n)
	j := w.await(id, job.Finished)
	if done := w.outcome(id, r.ID); !strings.HasPrefix(done.Savepoint, w.storage.SavepointDir()) {
		t.Errorf("got %+v", done)
	}
	if tm.did("triggers 1 stop=true") != 1 || j.Restarts != 0 {
		t.Errorf("%d restarts; the TaskManager %v", j.Restarts, tm.history())
	}
	w.eventually("confirmed", func() bool { return tm.did("confirmed attempt 1") == 1 })
}

// A directory that cannot be used costs the savepoint, and the sources of a stop go on.
func TestStopThatCannotBeCopied(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.runningOn(n, tm)
	r := job.Request{ID: job.NewID(), Kind: job.StopJob, Directory: "/dev/null/x"}
	if _, err := n.Request(t.Context(), id, r); err != nil {
		t.Fatal(err)
	}
	if done := w.outcome(id, r.ID); !strings.Contains(done.Failure, "/dev/null/x") || !strings.Contains(done.Failure, "not a directory") {
		t.Errorf("got %+v", done)
	}
	w.eventually("resumed", func() bool { return tm.did("closes 1 resume=true") == 1 })
	if j := w.job(id); j.State != job.Running || j.Restarts != 0 {
		t.Errorf("the job is %s after %d restarts", j.State, j.Restarts)
	}
}

// A change is made of a job as it runs, or refused as long as it does.
func TestChangeOfARunningJob(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 3)
	tm.plan = func(p rpc.Plan) rpc.Planned { return planOf(max(p.Spec.Parallelism, 2))(p) }
	tm.start()
	w.leader()
	id := w.runningOn(n, tm)
	rescale := func(parallelism int) api.Request {
		r := job.Request{ID: job.NewID(), Kind: job.ChangeJob, Change: &job.Change{Parallelism: parallelism}}
		if _, err := n.Request(t.Context(), id, r); err != nil {
			t.Fatal(err)
		}
		return w.outcome(id, r.ID)
	}
	if done := rescale(4); !strings.Contains(done.Failure, "4 slots, and 1 of them are missing") {
		t.Errorf("got %+v", done)
	}
	if tm.did("stops attempt 1") != 0 {
		t.Error("a change that was refused stopped the job")
	}
	if done := rescale(3); done.Failure != "" || done.DowntimeMillis <= 0 {
		t.Errorf("got %+v", done)
	}
	if j := w.job(id); j.Parallelism != 3 || j.Attempt != 2 || j.Restarts != 0 || tm.did("deploys attempt 2 slots [0 1 2]") != 1 {
		t.Errorf("got %+v; the TaskManager %v", j, tm.history())
	}
	n.kill() // what was changed stays changed
	<-n.done
	next := w.start("jm-b")
	w.leader(n)
	if j, err := next.Job(t.Context(), id); err != nil || j.Parallelism != 3 || j.State != job.Running {
		t.Errorf("got %+v, %v", j, err)
	}
	spec := w.spec()
	spec.ID = id
	if _, err := next.Submit(t.Context(), spec); err != nil {
		t.Errorf("the submission, again: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	w.leader()
	id := w.submit(n)
	for says, r := range map[string]job.Request{
		"no job id":            {ID: "x", Kind: job.TakeCheckpoint},
		"no request \"dance\"": {ID: job.NewID(), Kind: "dance"},
		"neither":              {ID: job.NewID(), Kind: job.ChangeJob, Change: &job.Change{}},
		"expected 1 or more":   {ID: job.NewID(), Kind: job.ChangeJob, Change: &job.Change{Parallelism: -1}},
		"upload it first":      {ID: job.NewID(), Kind: job.ChangeJob, Change: &job.Change{Artifact: strings.Repeat("0", 64)}},
		"at most":              {ID: job.NewID(), Kind: job.TakeSavepoint, Directory: strings.Repeat("/x", maxSpec)},
	} {
		if _, err := n.Request(context.Background(), id, r); code(err) != api.BadRequest || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want it to say %q", r, err, says)
		}
	}
	for range maxWaiting { // without slots none is served
		if _, err := n.Request(t.Context(), id, job.Request{ID: job.NewID(), Kind: job.TakeCheckpoint}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Request(t.Context(), id, job.Request{ID: job.NewID(), Kind: job.TakeCheckpoint}); code(err) != api.Conflict {
		t.Errorf("one more than may wait: %v", err)
	}
	if _, err := n.Request(t.Context(), job.NewID(), job.Request{}); code(err) != api.NotFound {
		t.Errorf("of no job: %v", err)
	}
}

// A savepoint that is none fails the job that was to continue from it, before it begins.
func TestJobFromNoSavepoint(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	w.taskManager("tm-1", 2).start()
	w.leader()
	spec := w.spec()
	spec.Savepoint = t.TempDir()
	if _, err := n.Submit(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if j := w.await(spec.ID, job.Failed); !strings.Contains(j.Failure, spec.Savepoint+" is no savepoint") || j.Attempt != 0 {
		t.Errorf("after %d attempts: %s", j.Attempt, j.Failure)
	}
}
