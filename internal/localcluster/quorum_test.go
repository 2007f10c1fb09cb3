package localcluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// TestReplaceQuorumMember: a JobManager loses its disk under a running job. It is refused until it was removed and
// added again; then it joins, and its vote counts: the quorum survives the loss of another one.
func TestReplaceQuorumMember(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 3, Embedded: true})
	j := f.submit(t, "long", 150_000, 10_000)
	before := f.running(t, j.id)
	leader, lost, other := f.leader(t), -1, -1
	for i, p := range f.cluster.JobManagers {
		if p != leader {
			lost, other = i, lost
		}
	}
	name, p := f.cluster.Rest[lost], f.cluster.JobManagers[lost]
	p.Kill()
	if err := os.RemoveAll(filepath.Join(f.dir, fmt.Sprintf("quorum-%d", lost+1))); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if f.ended(t, p); !strings.Contains(p.Tail(), "has voted") {
		t.Errorf("without its data it ended otherwise: %s", p.Tail())
	}
	if err := f.client.RemoveFromQuorum(f.ctx, "stranger:1"); err == nil || !strings.Contains(err.Error(), "no such member") {
		t.Errorf("removing a stranger: %v", err)
	}
	if err := f.client.RemoveFromQuorum(f.ctx, f.cluster.Rest[other]); err == nil || !strings.Contains(err.Error(), "would lose the quorum") {
		t.Errorf("removing the member that the quorum needs: %v", err)
	}
	if err := f.cluster.Until(f.ctx, func() error { return f.client.RemoveFromQuorum(f.ctx, name) }); err != nil { // once its end was noticed
		t.Fatal(err)
	}
	added, err := f.client.AddToQuorum(f.ctx, name)
	if err != nil || len(added.JobManagers) != 3 || added.ClusterID == "" {
		t.Fatalf("added: %+v, %v", added, err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if err := f.cluster.Until(f.ctx, func() error { return f.votes(3) }); err != nil {
		t.Fatal(err)
	}
	if err := f.cluster.Members(f.ctx, f.client); err != nil { // the new one knows who leads
		t.Fatal(err)
	}
	f.cluster.JobManagers[other].Kill()
	f.running(t, f.submit(t, "with its vote", 1_000, 100).id)
	leader.Kill() // nobody has a majority; with the one that comes back there is
	if err := f.cluster.JobManagers[other].Start(); err != nil {
		t.Fatal(err)
	}
	if touched := localcluster.Touched(before, f.running(t, j.id)); len(touched) > 0 {
		t.Errorf("subtasks are not what they were: %+v", touched)
	}
	if end := f.wait(t, j.id); end.State != job.Finished || end.Restarts != 0 {
		t.Errorf("the job is %s after %d restarts: %s", end.State, end.Restarts, end.Failure)
	}
}

// votes says why there are not n healthy members with a vote.
func (f *fixture) votes(n int) error {
	q, err := f.client.Quorum(f.ctx)
	if err != nil {
		return err
	}
	for _, m := range q.Members {
		if m.Healthy && !m.Learner {
			n--
		}
	}
	if n != 0 {
		return fmt.Errorf("%d healthy members more are wanted: %+v", n, q.Members)
	}
	return nil
}
