package jobmanager

import (
	"errors"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

// Who asks for a job that waits for storage is told so, and no longer once it does not.
func TestStorageWait(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	id := w.submit(a)
	o := a.serving.Load().jobs.find(id)
	told := func() string {
		j, err := a.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return j.StorageWait
	}
	tries := 0
	err := o.persist(t.Context(), "store the job", func() error {
		if tries++; tries == 1 {
			return errors.New("no space left on device")
		}
		if got := told(); got != "store the job: no space left on device" {
			t.Errorf("while it waits: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.taskManager("tm-1", 2).start()
	w.eventually("it runs", func() bool { j, err := a.Job(t.Context(), id); return err == nil && j.State == job.Running })
	if got := told(); got != "" {
		t.Errorf("once it runs: %q", got)
	}
}
