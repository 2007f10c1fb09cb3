package jobmanager

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
)

// TestChangedListOfOutputs: files that no task has named are not made visible; the job is told, and does not wait for ever.
func TestChangedListOfOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		store, err := storage.Open(ctx, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		l := &leader{ctx: ctx, log: slog.New(slog.DiscardHandler), JobManager: &JobManager{cfg: Config{Storage: store}}}
		o := newOwner(l, execution.Intent{Spec: job.Spec{ID: job.NewID()}}, coordination.Entry{})
		o.once.Do(func() {}) // its goroutine is not needed
		name, err := store.PutOutputs(ctx, o.id, 1, []job.Output{{Temp: "/out/.a", Final: "/out/a"}})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(store.Dir(), "outputs", name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("/out/a"), []byte("/out/b")), 0o600); err != nil {
			t.Fatal(err)
		}
		o.publish(ctx, execution.Publish{Outputs: name}, func(list []job.Output) error {
			t.Errorf("%v is made visible", list)
			return nil
		})
		parcels := o.mailbox.take()
		if len(parcels) != 1 || !strings.Contains(parcels[0].event.(execution.Published).Error, "was changed") {
			t.Errorf("the job is told %+v", parcels)
		}
	})
}

// TestEndedJobWhosePlanWasChanged: it is not shown as another one, and the answer does not blame who asks, or have it ask again.
func TestEndedJobWhosePlanWasChanged(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	tm.change(id, job.Finished, "")
	w.eventually("finished", func() bool { return w.job(id).State == job.Finished })
	plans, err := filepath.Glob(filepath.Join(w.storage.Dir(), "graphs", "*"))
	if err != nil || len(plans) != 1 {
		t.Fatalf("plans %v, %v", plans, err)
	}
	if err := os.WriteFile(plans[0], []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.kill()
	b := w.start("jm-b")
	w.leader(a)
	w.eventually("an answer", func() bool {
		_, err := b.Job(t.Context(), id)
		return code(err) == api.Conflict && strings.Contains(err.Error(), "was changed")
	})
}
