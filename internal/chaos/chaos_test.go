package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

var perennial string

// TestMain is also the main function of the job.
func TestMain(m *testing.M) {
	if os.Getenv("PERENNIAL_ROLE") != "" {
		Main()
	}
	dir, err := os.MkdirTemp("", "perennial-chaos-")
	if err != nil {
		panic(err)
	}
	perennial = filepath.Join(dir, "perennial")
	if out, err := exec.Command("go", "build", "-o", perennial, "github.com/perennial-io/perennial/cmd/perennial").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// TestSameOutputWhateverDies runs jobs of several seeds on real processes that are killed and frozen meanwhile.
func TestSameOutputWhateverDies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cluster, err := localcluster.Start(localcluster.Config{
		Binary: perennial, Dir: dir, JobManagers: 3, TaskManagers: 3, Slots: 4, Embedded: true,
		Settings: map[string]string{"checkpoint.interval": "100ms", "taskmanager.timeout": "4s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	c := cluster.Client()
	defer c.Close()
	if err := cluster.Ready(ctx, c); err != nil {
		t.Fatal(err)
	}
	site := &Site{Kind: Kind{Coordination: "embedded"}, Cluster: cluster, Storage: Storage{Dir: filepath.Join(dir, "storage")}}
	for seed := range 4 {
		r, err := Run(ctx, Config{
			Site: site, Binary: self, Dir: dir, Seed: seed, Records: 20_000, Rate: 5_000, Unbounded: seed%2 == 1, Faults: 5, Say: t.Logf,
		})
		if err != nil || r.Wrong() {
			t.Errorf("seed %d: %v, %v", seed, r, err)
			t.Log(cluster.Logs())
		}
		t.Logf("seed %d: %v", seed, r)
	}
}
