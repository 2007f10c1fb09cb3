package jobmanager

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage"
)

// TestKeptCheckpointsKeepWhatTheyReferTo: a checkpoint names a file of an older one, whose directory stays; and
// everything does while it cannot be said.
func TestKeptCheckpointsKeepWhatTheyReferTo(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := &owner{leader: &leader{ctx: t.Context(), JobManager: &JobManager{cfg: Config{Storage: store}}}, id: job.NewID()}
	var files []job.StateHandle
	var kept []job.Pointer
	for id := job.CheckpointID(1); id <= 4; id++ {
		write := func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }
		h := job.StateHandle{Operator: "op", Part: "a"}
		if h.File, h.Size, h.CRC, err = store.PutState(t.Context(), o.id, id, 1, "state", write); err != nil {
			t.Fatal(err)
		}
		files = append(files, h)
		m := &checkpoint.Manifest{Job: o.id, Checkpoint: id, Epoch: 1, Attempt: 1, Subtasks: []job.Acknowledgement{{Checkpoint: id, States: []job.StateHandle{h}}}}
		if id == 4 {
			m.Subtasks[0].States = append(m.Subtasks[0].States, files[0]) // of 1
		}
		name, err := store.PutManifest(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, job.Pointer{Checkpoint: id, Attempt: 1, Manifest: name})
	}
	dirs, err := store.ListCheckpoints(t.Context(), o.id)
	if err != nil {
		t.Fatal(err)
	}
	dir := func(id job.CheckpointID) checkpoint.Dir { return checkpoint.Dir{Checkpoint: id, Attempt: 1} }
	retained, err := o.retained(kept[3:], dirs)
	if err != nil {
		t.Fatal(err)
	}
	garbage := checkpoint.Garbage(dirs, retained, 0, 4)
	slices.SortFunc(garbage, func(a, b checkpoint.Dir) int { return int(a.Checkpoint) - int(b.Checkpoint) })
	if want := []checkpoint.Dir{dir(2), dir(3)}; !slices.Equal(garbage, want) {
		t.Errorf("garbage %v, want %v", garbage, want)
	}
	o.refers = nil
	if err := os.Remove(filepath.Join(store.Dir(), kept[3].Manifest)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.retained(kept[3:], dirs); err == nil {
		t.Error("what a manifest refers to is known without it")
	}
}
