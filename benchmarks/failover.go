package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/perennial-io/perennial/benchmarks/arrivals"
	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// binaries are perennial and the jobs, stripped as they are shipped, in a directory that holds all
// that a suite leaves behind until remove.
type binaries struct{ dir, perennial, job, count string }

func buildBinaries() (binaries, error) {
	dir, err := os.MkdirTemp("", "perennial-bench-")
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir, filepath.Join(dir, "perennial"), filepath.Join(dir, "gapjob"), filepath.Join(dir, "countjob")}
	for out, pkg := range map[string]string{b.perennial: "./cmd/perennial", b.job: "./benchmarks/gapjob", b.count: "./benchmarks/countjob"} {
		if text, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg).CombinedOutput(); err != nil {
			b.remove()
			return b, fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
	}
	return b, nil
}

func (b binaries) remove() { os.RemoveAll(b.dir) }

// withEnsemble runs do beside a 3-server ZooKeeper.
func withEnsemble(ctx context.Context, dir string, do func(quorum string) error) error {
	return withServers(ctx, dir, func(e *testensemble.Ensemble) error { return do(e.Connect()) })
}

// withServers is withEnsemble with the servers in hand. They are new ones each time.
func withServers(ctx context.Context, dir string, do func(*testensemble.Ensemble) error) error {
	data, err := os.MkdirTemp(dir, "zookeeper-")
	if err != nil {
		return err
	}
	e, err := testensemble.ZooKeeper(ctx, data, 3)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.WaitServing(ctx); err != nil {
		return err
	}
	return do(e)
}

func failover(ctx context.Context, o options, r *report) error {
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	r.table(fmt.Sprintf("SIGKILL of the leader under a running job (1,000 records/s), three JobManagers, two TaskManagers, n = %d; milliseconds, p50 / p99 / worst", o.kills),
		"coordination", "kill → epoch committed", "kill → tasks adopted, API answering", "longest gap at the sink within 200 ms of a kill", "tasks restarted", "to reach")
	err = withEnsemble(ctx, b.dir, func(quorum string) error {
		settings := map[string]string{"zookeeper.quorum": quorum, "checkpoint.interval": "1s"}
		return killLeaders(ctx, o, r, b, "3-server ZooKeeper", "p50 ≤ 4, p99 ≤ 25; p99 ≤ 50; 0 restarts", localcluster.Config{Settings: settings})
	})
	return errors.Join(err, killLeaders(ctx, o, r, b, "embedded quorum", "p50 ≤ 8, p99 ≤ 60; –; 0 restarts", localcluster.Config{Embedded: true, Settings: map[string]string{"checkpoint.interval": "1s"}}))
}

func killLeaders(ctx context.Context, o options, r *report, b binaries, name, goal string, c localcluster.Config) error {
	return onStage(ctx, b, c, func(ctx context.Context, s *stage) error {
		kills, err := s.killAll(ctx, o.kills, 20*time.Minute, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		gaps, err := s.gaps(kills)
		if err != nil {
			return err
		}
		restarts, err := s.restarts(ctx)
		r.row(name, three(epochs(kills)), three(adoptions(kills)), three(gaps), fmt.Sprint(restarts), goal)
		return err
	})
}

// three are p50, p99 and the worst in milliseconds, where there is something.
func three(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s / %s / %s", ms(quantile(d, 0.5)), ms(quantile(d, 0.99)), ms(quantile(d, 1)))
}

// successor waits until another leader than that of an epoch has adopted all that it could.
func successor(ctx context.Context, cl *localcluster.Cluster, cli *client.Client, was coordination.Epoch) (t client.Takeover, err error) {
	err = cl.Until(ctx, func() error {
		_, self, err := leading(ctx, cl, cli)
		if err == nil && (self.Epoch <= was || self.Takeover == nil || self.Takeover.Epoch != self.Epoch) {
			err = fmt.Errorf("epoch %d still", was)
		}
		if err == nil {
			t = *self.Takeover
		}
		return err
	})
	return t, err
}

// leading is the process that leads, by what each says of itself: that costs coordination nothing, which a question
// to the leader does.
func leading(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) (leader *localcluster.Process, self client.Self, err error) {
	for i, p := range cl.JobManagers {
		if !p.Running() {
			continue
		}
		s, err := cli.Self(ctx, cl.Rest[i])
		if err == nil && s.Role == "leader" && s.Epoch >= self.Epoch {
			leader, self = p, s
		}
	}
	if leader == nil {
		err = errors.New("nobody leads")
	}
	return leader, self, err
}

// since is the time from a moment to one of a takeover, which is told in milliseconds from its beginning.
func since(at time.Time, t client.Takeover, ms float64) time.Duration {
	return t.Since.Sub(at) + millis(ms)
}

// readArrivals says when records came, of whatever attempt, in order.
func readArrivals(path string) ([]time.Time, error) {
	all, err := arrivals.Read(path)
	times := make([]time.Time, len(all))
	for i, a := range all {
		times[i] = a.At
	}
	slices.SortFunc(times, time.Time.Compare) // attempts may overlap
	return times, err
}

// longestGap is the longest time between two arrivals, which are in order, of which any part is in [from, to). A gap that
// has not ended counts up to the later of to and the last arrival.
func longestGap(times []time.Time, from, to time.Time) time.Duration {
	var longest time.Duration
	first, _ := slices.BinarySearchFunc(times, from, time.Time.Compare)
	for i := max(first, 1); i < len(times) && times[i-1].Before(to); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	if n := len(times); n > 0 && times[n-1].Before(to) {
		longest = max(longest, to.Sub(times[n-1]))
	}
	return longest
}
