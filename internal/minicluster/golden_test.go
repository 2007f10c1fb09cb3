package minicluster_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/perennial-io/perennial/internal/minicluster"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

// golden compares the transcript of what happened with testdata/<name>.txt.
func golden(t *testing.T, c *minicluster.Cluster, name string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	got := c.Transcript()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s tells otherwise; go test -update writes it anew. This run:\n%s", path, got)
	}
}
