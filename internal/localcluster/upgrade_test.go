package localcluster_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/testensemble"
)

const module = "github.com/perennial-io/perennial/"

// TestRollingUpgrade: under a running job each JobManager is replaced by the next release, one by one, and then each
// TaskManager, but for one that goes first: so each release talks to the other in each part. Then all of it goes back to the
// release before. The job's binary stays the old one. JobManagers' replacement touches no task and fails no call; a TaskManager
// that ends has its tasks start again, which counts as no restart.
func TestRollingUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	next := nextRelease(t)
	for _, c := range []struct {
		name     string
		embedded bool
		settings func(t *testing.T) map[string]string
	}{
		{"embedded", true, func(*testing.T) map[string]string { return map[string]string{} }},
		{"zookeeper", false, func(t *testing.T) map[string]string {
			return map[string]string{"zookeeper.quorum": testensemble.Start(t, 3).Connect()}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings := c.settings(t)
			settings["checkpoint.interval"], settings["taskmanager.timeout"] = "200ms", "2s"
			f := newFixture(t, localcluster.Config{JobManagers: 3, Embedded: c.embedded, Settings: settings})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // ten processes end and begin, one after the other
			defer cancel()
			f.ctx = ctx
			j := f.submit(t, "long", 16_000, 500)
			list, err := f.client.JobManagers(f.ctx)
			if err != nil {
				t.Fatal(err)
			}
			calls := f.keepCalling(t)
			f.roll(t, j.id, next, "0.2.0")
			f.roll(t, j.id, binaries.perennial, list[0].Version)
			t.Logf("the longest call took %v", calls().Round(time.Millisecond))
			if end := f.wait(t, j.id); end.State != job.Finished || end.Restarts > 0 {
				t.Errorf("the job is %s after %d restarts: %s", end.State, end.Restarts, end.Failure)
			}
			if got := countLines(t, j.output); got != j.words {
				t.Errorf("%d words came out, want %d", got, j.words)
			}
		})
	}
}

// roll replaces each process by that of another release.
func (f *fixture) roll(t *testing.T, id client.ID, binary, version string) {
	t.Helper()
	before := f.running(t, id)
	for i, p := range f.cluster.JobManagers {
		f.replace(t, p, binary)
		if err := f.cluster.Members(f.ctx, f.client); err != nil {
			t.Fatal(err)
		}
		if touched := localcluster.Touched(before, f.running(t, id)); len(touched) > 0 {
			t.Errorf("after %s subtasks are not what they were: %+v", p.Name, touched)
		}
		if i == 0 {
			f.replace(t, f.cluster.TaskManagers[0], binary)
			f.slots(t)
			before = f.running(t, id)
		}
	}
	f.replace(t, f.cluster.TaskManagers[1], binary)
	f.slots(t)
	f.versions(t, version)
	f.running(t, id) // nothing finished before it was over
}

// nextRelease builds the program as the release after this one would be, with the next protocol.
func nextRelease(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "perennial")
	flags := fmt.Sprintf("-X %sinternal/build.Version=0.2.0 -X %sinternal/rpc.protocol=%d", module, module, rpc.Protocol+1)
	if text, err := exec.Command("go", "build", "-o", binary, "-ldflags", flags, module+"cmd/perennial").CombinedOutput(); err != nil {
		t.Fatalf("build the next release: %v\n%s", err, text)
	}
	return binary
}

// replace stops a process politely, and starts another program in its place.
func (f *fixture) replace(t *testing.T, p *localcluster.Process, binary string) {
	t.Helper()
	p.Terminate(f.ctx)
	p.Replace(binary)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
}

// slots waits until all are there again.
func (f *fixture) slots(t *testing.T) {
	t.Helper()
	if err := f.cluster.Ready(f.ctx, f.client); err != nil {
		t.Fatal(err)
	}
}

// keepCalling lists jobs again and again until it is asked for the longest call. A call that fails fails the test.
func (f *fixture) keepCalling(t *testing.T) (longest func() time.Duration) {
	ctx, stop := context.WithCancel(f.ctx)
	done := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := f.client.Jobs(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("a call was refused: %v", err)
			}
			took = append(took, time.Since(began))
		}
		done <- took
	}()
	return func() time.Duration {
		stop()
		took := <-done
		return slices.Max(took)
	}
}

// versions requires that every JobManager is of a release.
func (f *fixture) versions(t *testing.T, want string) {
	t.Helper()
	list, err := f.client.JobManagers(f.ctx)
	for _, m := range list {
		if m.Version != want {
			err = errors.Join(err, fmt.Errorf("%s is of release %q", m.ID, m.Version))
		}
	}
	if err != nil {
		t.Error(err)
	}
}
