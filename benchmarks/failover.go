package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/benchmarks/arrivals"
	"github.com/perennial-io/perennial/client"
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
	e, err := testensemble.ZooKeeper(ctx, filepath.Join(dir, "zookeeper"), 3)
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.WaitServing(ctx); err != nil {
		return err
	}
	return do(e.Connect())
}

func failover(ctx context.Context, o options, r *report) error {
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	r.table(fmt.Sprintf("SIGKILL of the leader under a running job (1,000 records/s), three JobManagers, two TaskManagers, n = %d; milliseconds, p50 / p99 / worst", o.kills),
		"coordination", "kill → epoch committed", "kill → tasks adopted, API answering", "longest gap at the sink within 500 ms of a kill", "the same before each kill", "tasks restarted", "to reach")
	err = withEnsemble(ctx, b.dir, func(quorum string) error {
		settings := map[string]string{"zookeeper.quorum": quorum}
		return killLeaders(ctx, o, r, b, "3-server ZooKeeper", "p50 ≤ 10, ≤ 50, 0 restarts", localcluster.Config{Settings: settings})
	})
	return errors.Join(err, killLeaders(ctx, o, r, b, "embedded quorum", "p50 ≤ 20, –, 0 restarts", localcluster.Config{Embedded: true}))
}

// kill is one leader change, by the clock that all processes of this machine share.
type kill struct {
	at             time.Time
	epoch, serving time.Duration
}

func killLeaders(ctx context.Context, o options, r *report, b binaries, name, goal string, c localcluster.Config) error {
	c.JobManagers, c.TaskManagers, c.Slots = 3, 2, 2
	return cluster(ctx, b, c, func(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) error {
		kills, restarts, times, err := killAll(ctx, cl, cli, o.kills, b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var epochs, servings, after, before []time.Duration
		for _, k := range kills {
			epochs, servings = append(epochs, k.epoch), append(servings, k.serving)
			after = append(after, longestGap(times, k.at, k.at.Add(500*time.Millisecond)))
			before = append(before, longestGap(times, k.at.Add(-500*time.Millisecond), k.at))
		}
		r.row(name, three(epochs), three(servings), three(after), three(before), fmt.Sprint(restarts), goal)
		return nil
	})
}

func three(d []time.Duration) string {
	return fmt.Sprintf("%s / %s / %s", ms(quantile(d, 0.5)), ms(quantile(d, 0.99)), ms(quantile(d, 1)))
}

func killAll(ctx context.Context, cl *localcluster.Cluster, cli *client.Client, n int, b binaries) ([]kill, int, []time.Time, error) {
	path := filepath.Join(b.dir, "arrivals")
	if err := os.RemoveAll(path); err != nil { // of the other coordination
		return nil, 0, nil, err
	}
	artifact, err := cli.Upload(ctx, b.job)
	if err != nil {
		return nil, 0, nil, err
	}
	id := client.NewID()
	spec := client.Spec{ID: id, Name: "gaps", Artifact: artifact, Parallelism: 2, Args: []string{"--arrivals", path}}
	if _, err := cli.Submit(ctx, spec); err != nil {
		return nil, 0, nil, err
	}
	before, err := cl.Running(ctx, cli, id)
	if err != nil {
		return nil, 0, nil, err
	}
	var kills []kill
	for range n {
		if err := steady(ctx); err != nil {
			return nil, 0, nil, err
		}
		k, err := killOne(ctx, cl, cli)
		if err != nil {
			return nil, 0, nil, err
		}
		kills = append(kills, k)
	}
	if err := steady(ctx); err != nil {
		return nil, 0, nil, err
	}
	after, err := cli.Job(ctx, id)
	if err != nil {
		return nil, 0, nil, err
	}
	times, err := readArrivals(path)
	if err == nil && len(times) < 1000 {
		err = fmt.Errorf("only %d records arrived", len(times))
	}
	return kills, after.Restarts + len(localcluster.Touched(before, after)), times, err
}

// steady lets the cluster run undisturbed for a moment whose length is drawn anew each time.
func steady(ctx context.Context) error {
	select {
	case <-time.After(700*time.Millisecond + time.Duration(rand.Int64N(int64(600*time.Millisecond)))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func killOne(ctx context.Context, cl *localcluster.Cluster, cli *client.Client) (kill, error) {
	victim, was, err := cl.Leader(ctx, cli)
	if err != nil {
		return kill{}, err
	}
	k := kill{at: time.Now()}
	victim.Kill()
	err = cl.Until(ctx, func() error {
		_, now, err := cl.Leader(ctx, cli)
		if err != nil {
			return err
		}
		if now.Epoch <= was.Epoch || now.Takeover == nil {
			return fmt.Errorf("epoch %d still", now.Epoch)
		}
		t := now.Takeover
		k.serving = t.At.Sub(k.at)
		k.epoch = k.serving - time.Duration((t.ServingMillis-t.ClaimMillis)*float64(time.Millisecond))
		return nil
	})
	if err != nil {
		return kill{}, err
	}
	if err := victim.Start(); err != nil {
		return kill{}, err
	}
	return k, cl.Members(ctx, cli)
}

// readArrivals says when records came, of whatever attempt.
func readArrivals(path string) ([]time.Time, error) {
	all, err := arrivals.Read(path)
	times := make([]time.Time, len(all))
	for i, a := range all {
		times[i] = a.At
	}
	return times, err
}

// longestGap is the longest time between two arrivals of which the later is in [from, to).
func longestGap(times []time.Time, from, to time.Time) time.Duration {
	var longest time.Duration
	for i := 1; i < len(times); i++ {
		if !times[i].Before(from) && times[i].Before(to) {
			longest = max(longest, times[i].Sub(times[i-1]))
		}
	}
	return longest
}
