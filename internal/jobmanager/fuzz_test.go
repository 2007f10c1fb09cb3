package jobmanager

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
)

// FuzzIntent: whatever coordination holds for an intent, or storage in its place, it is an error, or an intent that is
// written as it was read.
func FuzzIntent(f *testing.F) {
	s, err := storage.Open(f.Context(), f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	in := execution.Intent{Spec: job.Spec{ID: "0198f0c2a1b27c3d8e4f5a6b7c8d9e0f"}, Phase: execution.Running, Attempt: 2, GraphHash: "x", Slots: 1, Assignment: []string{"tm-a"}}
	in.Reserved, in.Open, in.ReservedAt = 3, 3, time.Unix(1, 0).UTC()
	in.Completed = []job.Pointer{{Checkpoint: 2, Attempt: 1, Manifest: "m"}}
	b, err := json.Marshal(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, false)
	f.Add(b, true)
	f.Add([]byte(`{"blob":"00"}`), false)
	f.Add([]byte(`null`), true)
	f.Fuzz(func(t *testing.T, value []byte, stored bool) {
		if stored {
			hash, err := s.PutIntent(t.Context(), value)
			if err != nil {
				t.Fatal(err)
			}
			if value, err = json.Marshal(map[string]string{"blob": hash}); err != nil {
				t.Fatal(err)
			}
		}
		in, err := decodeIntent(t.Context(), s, value)
		if err != nil {
			return
		}
		value, err = encodeIntent(t.Context(), s, in)
		if err != nil {
			t.Fatal(err)
		}
		once, err := decodeIntent(t.Context(), s, value) // an empty list is none from here on
		if err != nil {
			t.Fatalf("%s was written, and cannot be read: %v", value, err)
		}
		value, _ = encodeIntent(t.Context(), s, once)
		if again, err := decodeIntent(t.Context(), s, value); err != nil || !reflect.DeepEqual(once, again) {
			t.Errorf("%+v came back as %+v, %v", once, again, err)
		}
	})
}
