package task_test

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/task"
)

// TestCheckpointThatIsGone: who cannot restore says so by the name of its vertex's first operator: none is at work yet.
func TestCheckpointThatIsGone(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateIncarnation(t.Context(), "of the test"); err != nil {
		t.Fatal(err)
	}
	d, numbers := &diary{}, make(chan int)
	defer close(numbers)
	manifest := "checkpoints/" + string(job.NewID()) + "/chk-7-1/manifest-1"
	x := d.start(t, numbers, &task.Checkpoints{
		Storage: store, Restore: &job.Pointer{Checkpoint: 7, Attempt: 1, Manifest: manifest}, Acknowledge: d.acknowledge,
	})
	if err := x.Wait(); err == nil {
		t.Error("it has finished")
	}
	if said := strings.Join(d.lines, ", "); !strings.HasPrefix(said, `FAILED operator "read", subtask 0: restore checkpoint 7: `) {
		t.Errorf("it says %s", said)
	}
}
