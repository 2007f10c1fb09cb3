package storage

import (
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/stored"
	"github.com/perennial-io/perennial/internal/stored/storedtest"
)

var update = flag.Bool("update", false, "write the records of this format, if there are none")

// TestDocumentsOfOtherReleases: those of this release, of the one before and of the one after. Manifests are looked at in
// internal/checkpoint, exports in internal/metadata.
func TestDocumentsOfOtherReleases(t *testing.T) {
	storedtest.Kept(t, "testdata/records-1.jsonl", *update, map[string]any{"graph": new(job.Graph), "outputs": new([]job.Output)})

	s, later := open(t), []byte(`{"format":2,"what":"this release does not know"}`)
	const hash = "00000000000000000000000000000000000000000000000000000000000000a1"
	for dir, name := range map[string]string{graphDir: hash, outputDir: "j-1"} {
		if _, err := s.createBytes(t.Context(), dir, name, later); err != nil {
			t.Fatal(err)
		}
	}
	_, graph := s.Graph(t.Context(), hash)
	_, outputs := s.Outputs(t.Context(), "j-1")
	for what, err := range map[string]error{"graph": graph, "outputs": outputs} {
		if !errors.Is(err, stored.ErrNewer) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "use the release that wrote it") {
			t.Errorf("%s of a later format: %v", what, err)
		}
	}
}
