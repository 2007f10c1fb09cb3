package localcluster_test

import (
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// TestClusterStoppedAndStarted: JobManagers first, then TaskManagers, as stop-cluster.sh does it. A kept job goes on at the
// next start without waiting for a time-out, which would be longer than the test, and although restarts are not allowed.
func TestClusterStoppedAndStarted(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{
		"checkpoint.interval": "100ms", "restart.strategy": "none", "taskmanager.timeout": "10m",
	}})
	j := f.submit(t, "long", 20_000, 10_000)
	f.running(t, j.id)
	f.checkpointed(t, j.id, 2)
	for _, p := range append(f.cluster.JobManagers, f.cluster.TaskManagers...) {
		p.Terminate(f.ctx)
	}
	for _, p := range append(f.cluster.JobManagers, f.cluster.TaskManagers...) {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	end := f.wait(t, j.id)
	if end.State != job.Finished || end.Attempt != 2 || end.Restarts != 0 || end.Checkpoints.Restored < 2 {
		t.Errorf("the job is %s after %d attempts and %d restarts, continued from checkpoint %d: %s",
			end.State, end.Attempt, end.Restarts, end.Checkpoints.Restored, end.Failure)
	}
	if got := countLines(t, j.output); got != j.words {
		t.Errorf("%d words came out, want %d", got, j.words)
	}
}
