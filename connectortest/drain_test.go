package connectortest

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// TestDrainedLedger: a job that is drained has committed all that it took in, and leaves no transaction behind.
func TestDrainedLedger(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("the test's minute is over"))
	defer cancel()
	cluster, c := startCluster(ctx, t, "50ms")
	dir := filepath.Join(t.TempDir(), "ledger")
	id := submit(ctx, t, c, "--ledger", dir, "--die", "never")
	if err := cluster.Until(ctx, func() error { return eat(ctx, c, id, t.TempDir(), dir, mortalRecords/10) }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stop(ctx, id, "", true); err != nil {
		t.Fatal(err)
	}
	if j := end(ctx, t, cluster, c, id); j.State != job.Finished || j.Restarts != 0 {
		t.Errorf("the job is %s after %d restarts: %s", j.State, j.Restarts, j.Failure)
	}
	l, err := OpenLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Committed[int](l)
	slices.Sort(got)
	left, err2 := l.Left()
	if len(got) >= mortalRecords || len(slices.Compact(slices.Clone(got))) != len(got) || left != 0 || err != nil || err2 != nil {
		t.Errorf("%d records are committed, some twice: %t, and %d transactions are left (%v, %v)", len(got), len(slices.Compact(slices.Clone(got))) != len(got), left, err, err2)
	}
}
