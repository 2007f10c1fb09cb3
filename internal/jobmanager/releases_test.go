package jobmanager

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/stored"
	"github.com/perennial-io/perennial/internal/stored/storedtest"
)

var update = flag.Bool("update", false, "write the records of this format, if there are none")

// TestRecordsOfOtherReleases: what is in coordination was written by this release, the one before or the one after.
func TestRecordsOfOtherReleases(t *testing.T) {
	storedtest.Kept(t, "testdata/records-1.jsonl", *update, map[string]any{
		"taskmanager": new(taskManagerRecord), "intent": new(execution.Intent), "stored intent": new(storedIntent), "unreferenced": new(map[string]unreferenced),
	})
}

// TestRecordsOfALaterFormat: each kind is refused, says what to do, and stays as it is; a job that cannot be read is left alone, and of all
// else it takes a newer JobManager to lead.
func TestRecordsOfALaterFormat(t *testing.T) {
	const later = `{"format":2,"what":"this release does not know"}`
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	blob, err := s.PutIntent(t.Context(), []byte(later))
	if err != nil {
		t.Fatal(err)
	}
	id := job.NewID()
	for key, value := range map[string]string{
		taskManagersPrefix + "tm-1": later, forgottenKey: later, garbageKey: later, intentKey(id): later, intentKey(id) + " in storage": `{"blob":"` + blob + `"}`,
	} {
		t.Run(key, func(t *testing.T) {
			var log bytes.Buffer
			key, _ := strings.CutSuffix(key, " in storage")
			l := &leader{JobManager: &JobManager{cfg: Config{Storage: s}}, ctx: t.Context(), term: newPausable(claimed(t)), log: slog.New(slog.NewTextHandler(&log, nil))}
			l.jobs, l.garbage = newJobs(l), newGarbage(l)
			if _, err := l.term.Commit(t.Context(), coordination.Create(key, []byte(value))); err != nil {
				t.Fatal(err)
			}
			err := l.load()
			switch left := key == intentKey(id); {
			case left && (err != nil || !l.jobs.unreadable(id) || !strings.Contains(log.String(), "use the release that wrote it")):
				t.Errorf("%v, and the log says %s", err, log.String())
			case !left && !errors.Is(err, stored.ErrNewer):
				t.Errorf("%v, want ErrNewer", err)
			case !left && (!strings.Contains(err.Error(), strings.TrimSuffix(key, "tm-1")) || !strings.Contains(err.Error(), "use the release that wrote it")):
				t.Errorf("it does not say what cannot be read, and what to do: %v", err)
			}
			if e, err := l.term.Get(t.Context(), key); err != nil || string(e.Value) != value {
				t.Errorf("it became %q, %v", e.Value, err)
			}
		})
	}
}
