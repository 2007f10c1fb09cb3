package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// row is one of docs/faults.md, caused once and alone while a job runs. No task may notice; what else is expected it says
// itself.
type row struct {
	name string // begins with the row's number
	do   func(t *testing.T, ctx context.Context, r *round) error
}

// rows runs a job for each row at one site.
func rows(t *testing.T, k Kind, all []row) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 8*time.Minute, errors.New("the test's 8 minutes are over"))
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := Open(ctx, k, dir, Programs{Perennial: perennial})
	if errors.Is(err, testensemble.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Cluster.Logs())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for seed, one := range all {
		t.Run(one.name, func(t *testing.T) {
			r, err := begin(ctx, Config{Site: s, Binary: self, Dir: dir, Seed: seed, Records: 3_000, Rate: 1_000, Unbounded: true, Say: t.Logf})
			if err != nil {
				t.Fatal(err)
			}
			defer r.client.Close()
			err = errors.Join(one.do(t, ctx, r), r.revive(ctx), r.untouched(ctx))
			if err != nil {
				t.Fatal(err)
			}
			if result, err := r.end(ctx); err != nil || result.Wrong() {
				t.Errorf("%v, %v, %v", result, result.Violations, err)
			}
		})
	}
}

// is does a fault of the nemesis.
func is(do func(*round, context.Context) error) func(*testing.T, context.Context, *round) error {
	return func(t *testing.T, ctx context.Context, r *round) error {
		err := do(r, ctx)
		if err == nil && r.took == 0 {
			err = r.answered(ctx)
		}
		t.Logf("somebody answered %v after it", r.took)
		return err
	}
}

// keeps requires that the leader is the same after it.
func keeps(do func(*testing.T, context.Context, *round) error) func(*testing.T, context.Context, *round) error {
	return func(t *testing.T, ctx context.Context, r *round) error {
		_, before, err := r.Cluster.Leader(ctx, r.client)
		if err != nil {
			return err
		}
		if err := do(t, ctx, r); err != nil {
			return err
		}
		_, after, err := r.Cluster.Leader(ctx, r.client)
		if err == nil && after.Epoch != before.Epoch {
			t.Errorf("the leader of epoch %d was replaced by that of epoch %d", before.Epoch, after.Epoch)
		}
		return err
	}
}

// completes requires a checkpoint that was not there before: coordination is written again.
func completes(do func(*testing.T, context.Context, *round) error) func(*testing.T, context.Context, *round) error {
	return func(t *testing.T, ctx context.Context, r *round) error {
		if err := do(t, ctx, r); err != nil {
			return err
		}
		before, err := r.client.Job(ctx, r.id)
		if err != nil {
			return err
		}
		began := time.Now()
		err = r.Cluster.Until(ctx, func() error {
			now, err := r.client.Job(ctx, r.id)
			if err == nil && now.Checkpoints.Completions == before.Checkpoints.Completions {
				err = errors.New("no checkpoint has been completed since")
			}
			return err
		})
		t.Logf("the next checkpoint was complete after another %v", time.Since(began))
		return err
	}
}

// TestZooKeeperRows causes rows 16 to 22 and 24 on a real ensemble of three.
func TestZooKeeperRows(t *testing.T) {
	rows(t, Kind{Coordination: "zookeeper"}, []row{
		{"16 a follower killed", keeps(completes(is((*round).killFollower)))},
		{"17 the ensemble's leader killed", keeps(completes(is((*round).killZooKeeperLeader)))},
		{"18 the ensemble's leader frozen", keeps(completes(is((*round).freezeZooKeeperLeader)))},
		{"19 both leaders killed", completes(is((*round).killBothLeaders))},
		{"20 the quorum lost", completes(is((*round).loseQuorum))},
		{"21 the ensemble slow", keeps(completes(is((*round).slowZooKeeper)))},
		{"22 the disks full", completes(fillEnsemble)},
		{"24 the leader's znode deleted", completes(deleteLeader)},
		{"24 the epoch's znode deleted", completes(deleteEpoch)},
	})
}

// TestQuorumRows causes rows 4, 8 and 32, on the embedded quorum, and those of coordination that it has.
func TestQuorumRows(t *testing.T) {
	rows(t, Kind{Coordination: "embedded"}, []row{
		{"4 the leader panics", completes(is((*round).panicLeader))},
		{"4 the leader out of memory", completes(starveOfMemory)},
		{"8 leaders killed each 200 ms", completes(killMany)},
		{"20 the quorum lost", completes(is((*round).loseQuorum))},
		{"32 no descriptors left", completes(exhaust)},
		{"32 half of a CPU", completes(is((*round).starveLeader))},
	})
}

// fillEnsemble leaves the servers no room: what cannot be written is not acknowledged, what was acknowledged stays, and with room
// again all goes on.
func fillEnsemble(t *testing.T, ctx context.Context, r *round) error {
	if len(r.Disks) == 0 {
		t.Skip(needsDisks(r.Site))
	}
	back, err := fill(r.Disks[0])
	if err != nil {
		return err
	}
	acknowledged, refused := r.untilRefused(ctx)
	r.struck = time.Now()
	if err := errors.Join(back(), r.serve(ctx), r.answered(ctx)); err != nil {
		return err
	}
	t.Logf("%d submissions were acknowledged on full disks, and then: %v", len(acknowledged), refused)
	if refused == nil {
		t.Error("the disks are full, and everything was acknowledged")
	}
	for _, id := range acknowledged {
		if _, err := r.client.Cancel(ctx, id); err != nil {
			t.Errorf("job %s was acknowledged: %v", id, err)
		}
	}
	return nil
}

// untilRefused submits jobs until one is not acknowledged.
func (r *round) untilRefused(ctx context.Context) (acknowledged []client.ID, refused error) {
	const enough = 300 // many pages of a log
	for len(acknowledged) < enough {
		id := client.NewID()
		asked, cancel := context.WithTimeout(ctx, time.Second)
		_, err := r.client.Submit(asked, r.idle(id))
		cancel()
		if err != nil {
			return acknowledged, err
		}
		acknowledged = append(acknowledged, id)
	}
	return acknowledged, nil
}

// deleteLeader is what an operator may do: the node comes back, with the old leader or another.
func deleteLeader(t *testing.T, ctx context.Context, r *round) error {
	conn, err := r.zooKeeper()
	if err != nil {
		return err
	}
	defer conn.Close()
	const node = "/perennial/default/leader"
	_, before, err := conn.Get(node)
	if err != nil {
		return err
	}
	if err := conn.Delete(node, -1); err != nil {
		return err
	}
	return r.Cluster.Until(ctx, func() error {
		there, now, err := conn.Exists(node)
		if err == nil && (!there || now.Czxid == before.Czxid) {
			err = errors.New("there is no leader's node")
		}
		return err
	})
}

// panicLeader ends the leader as a panic does: by the Go runtime, which prints all goroutines.
func (r *round) panicLeader(ctx context.Context) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	r.struck = time.Now()
	if err := leader.Signal(syscall.SIGABRT); err != nil {
		return err
	}
	<-leader.Done()
	return r.answered(ctx)
}

// starveOfMemory has the kernel kill the leader, for want of memory.
func starveOfMemory(t *testing.T, ctx context.Context, r *round) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	group := fmt.Sprintf("/sys/fs/cgroup/memory/perennial-chaos-%d", os.Getpid())
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("simulated by SIGKILL only, as there can be no control group: %v", err)
	}
	defer os.Remove(group)
	for file, text := range map[string]string{"memory.limit_in_bytes": "4M", "cgroup.procs": fmt.Sprint(leader.PID())} {
		if err := os.WriteFile(filepath.Join(group, file), []byte(text), 0o644); err != nil {
			t.Skipf("simulated by SIGKILL only: %v", err)
		}
	}
	r.struck = time.Now()
	for ctx.Err() == nil { // what it is asked takes memory
		select {
		case <-leader.Done():
			return r.answered(ctx)
		default:
			asked, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			_, _ = r.client.Jobs(asked)
			cancel()
		}
	}
	return errors.New("the kernel did not kill it")
}

// killMany kills leaders one after the other: who is not killed holds no more open afterwards than before.
func killMany(t *testing.T, ctx context.Context, r *round) error {
	before := descriptors(t, r.Cluster.TaskManagers)
	began := time.Now()
	const kills = 15
	for range kills {
		if err := r.killLeader(ctx); err != nil {
			return err
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	t.Logf("%.0f leaders a minute", kills/time.Since(began).Minutes())
	if err := r.Cluster.Members(ctx, r.client); err != nil {
		return err
	}
	const more = 5 // connections to JobManagers that are being dialed, and files that are being written
	return r.Cluster.Until(ctx, func() error {
		now := descriptors(t, r.Cluster.TaskManagers)
		for name, n := range now {
			if n > before[name]+more {
				return fmt.Errorf("%s has %d files open, and had %d", name, n, before[name])
			}
		}
		return nil
	})
}

func descriptors(t *testing.T, of []*localcluster.Process) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, p := range of {
		all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
		if err != nil {
			t.Skip("there is no /proc")
		}
		n[p.Name] = len(all)
	}
	return n
}

// exhaust takes every descriptor that the leader may have, by connections that say nothing. It leads on, and serves again when
// they are gone; or, if it cannot keep its place without any, a standby does.
func exhaust(t *testing.T, ctx context.Context, r *round) error {
	leader, m, err := r.Cluster.Leader(ctx, r.client)
	if err != nil {
		return err
	}
	has := descriptors(t, []*localcluster.Process{leader})[leader.Name]
	if err := limitFiles(leader.PID(), uint64(has+20)); err != nil {
		t.Skip(err)
	}
	var idle []net.Conn
	for range 200 {
		c, err := net.DialTimeout("tcp", m.REST, time.Second)
		if err != nil {
			break
		}
		defer c.Close()
		idle = append(idle, c)
	}
	if now := descriptors(t, []*localcluster.Process{leader})[leader.Name]; now < has+15 {
		t.Errorf("the leader has %d descriptors open, and may have %d: they are not exhausted", now, has+20)
	}
	asked, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = r.client.Jobs(asked)
	t.Logf("with %d connections to it, and %d descriptors: %v", len(idle), has+20, err)
	for _, c := range idle {
		c.Close()
	}
	return r.answered(ctx)
}

// TestWipedCoordination (row 23): the data of coordination is gone, that of storage is not. Whoever is started then refuses,
// and says why; tasks run on.
func TestWipedCoordination(t *testing.T) {
	rows(t, Kind{Coordination: "zookeeper"}, []row{{"23 wiped, and brought back", wipe}})
}

func wipe(t *testing.T, ctx context.Context, r *round) error {
	for _, p := range r.Cluster.JobManagers {
		r.kill(p)
	}
	data, err := filepath.Glob(filepath.Join(r.Site.Disks[0], "*", "server-*", "data", "version-2"))
	if err != nil || len(data) != zooKeepers {
		t.Fatalf("%v, %v", data, err)
	}
	for _, s := range r.Ensemble.Servers {
		if err := s.Kill(); err != nil {
			return err
		}
	}
	for _, dir := range data {
		if err := os.Rename(dir, dir+"-saved"); err != nil {
			return err
		}
	}
	if err := r.serve(ctx); err != nil {
		return err
	}
	p := r.Cluster.JobManagers[0]
	if err := p.Start(); err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return fmt.Errorf("a JobManager runs on, although coordination knows nothing of the cluster: %s", p.Tail())
	}
	if said := p.Tail(); !strings.Contains(said, "wiped") {
		t.Errorf("the JobManager does not say what has happened: %s", said)
	}
	for _, s := range r.Ensemble.Servers {
		if err := s.Kill(); err != nil {
			return err
		}
	}
	for _, dir := range data {
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+"-saved", dir)); err != nil {
			return err
		}
	}
	if err := r.serve(ctx); err != nil {
		return err
	}
	r.struck = time.Now()
	if err := r.revived(); err != nil {
		return err
	}
	return r.answered(ctx)
}

// deleteEpoch: without the epoch's node nobody knows what the highest epoch was. Nobody claims another first one, and everybody
// says so; once the operator has put the node back, somebody claims the next.
func deleteEpoch(_ *testing.T, ctx context.Context, r *round) error {
	conn, err := r.zooKeeper()
	if err != nil {
		return err
	}
	defer conn.Close()
	const node = "/perennial/default/epoch"
	data, _, err := conn.Get(node)
	if err != nil {
		return err
	}
	if err := conn.Delete(node, -1); err != nil {
		return err
	}
	err = r.Cluster.Until(ctx, func() error {
		for _, p := range r.Cluster.JobManagers {
			if !strings.Contains(p.Tail(), node+" is gone") {
				return fmt.Errorf("%s does not say that the node is gone", p.Name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := conn.Create(node, data, 0, zk.WorldACL(zk.PermAll)); err != nil { // it would be there, had somebody claimed
		return err
	}
	return r.answered(ctx)
}

// zooKeeper is an operator's session.
func (r *round) zooKeeper() (*zk.Conn, error) {
	conn, _, err := zk.Connect(strings.Split(r.Ensemble.Connect(), ","), 10*time.Second, zk.WithLogInfo(false))
	return conn, err
}
