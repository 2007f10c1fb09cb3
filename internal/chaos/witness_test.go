package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// TestWitness: a TaskManager is frozen until its job runs elsewhere, and the job's processes, which are not, know nothing of that. With
// "run" they go on beside their successors, and the witness must see it; with "pause" there must be nothing to see.
func TestWitness(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	for isolated, overlap := range map[string]bool{"run": true, "pause": false} {
		t.Run(isolated, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Minute, errors.New("the test's 4 minutes are over"))
			defer cancel()
			dir := t.TempDir()
			cluster, err := localcluster.Start(localcluster.Config{
				Binary: perennial, Dir: dir, JobManagers: 1, TaskManagers: 2, Slots: 4,
				Settings: map[string]string{"checkpoint.interval": "100ms", "taskmanager.timeout": "2s", "taskmanager.isolated": isolated, "taskmanager.lease": "2s"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Stop()
			r := onOneTaskManager(t, ctx, cluster, dir)
			defer r.client.Close()
			if err := r.displace(ctx); err != nil {
				t.Fatal(err, cluster.Logs())
			}
			if err := r.alone(); err != nil || r.result.Wrong() != overlap || r.result.Witnessed < 4 {
				t.Errorf("of %d attempts these overlapped: %v, %v", r.result.Witnessed, r.result.Violations, err)
			}
		})
	}
}

// onOneTaskManager begins a round whose job runs on the first TaskManager alone, and returns when the second is there as well.
func onOneTaskManager(t *testing.T, ctx context.Context, cluster *localcluster.Cluster, dir string) *round {
	t.Helper()
	c := cluster.Client()
	defer c.Close()
	if err := cluster.Ready(ctx, c); err != nil {
		t.Fatal(err, cluster.Logs())
	}
	cluster.TaskManagers[1].Kill()
	err := cluster.Until(ctx, func() error {
		now, err := c.Cluster(ctx)
		if err == nil && now.Slots > 4 {
			err = fmt.Errorf("%d slots are there", now.Slots)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	site := &Site{Kind: Kind{Coordination: "local"}, Cluster: cluster, Pause: true, Storage: Storage{Dir: filepath.Join(dir, "storage")}}
	r, err := begin(ctx, Config{Site: site, Binary: self, Dir: dir, Seed: 1, Records: 1_000_000, Rate: 500, Unbounded: true, Say: t.Logf})
	if err != nil {
		t.Fatal(err, cluster.Logs())
	}
	err = errors.Join(cluster.TaskManagers[1].Start(), cluster.Ready(ctx, c))
	if err != nil {
		t.Fatal(err, cluster.Logs())
	}
	return r
}

// displace freezes the first TaskManager until both subtasks that are witnessed have taken records on the second for a while.
func (r *round) displace(ctx context.Context) error {
	first := r.Cluster.TaskManagers[0]
	if err := first.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	before := int(localcluster.Subtasks(r.before)[0].Attempt)
	err := r.Cluster.Until(ctx, func() error {
		all, err := spans(r.output + witnessSuffix)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(s span) bool { return s.attempt <= before || s.last-s.first < int64(300*time.Millisecond) })
		if len(all) < 2 {
			return fmt.Errorf("of the attempts after %d, these have taken records for a while: %+v", before, all)
		}
		return nil
	})
	return errors.Join(err, first.Signal(syscall.SIGCONT))
}
