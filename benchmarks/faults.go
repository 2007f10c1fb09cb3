package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// faults says how often each fault of `make bench-failover` is caused.
type faults struct {
	quick   bool
	rows    string
	sigkill int // kills of a leader, per coordination
	control int // kills of a standby between those on ZooKeeper
	large   int // kills of a leader with much memory, per heartbeat time-out
	sigterm int
	freezes int // of each length up to 3 s, and a fifth as many of each longer one
	servers int // ZooKeeper leaders killed, and frozen
	losses  int // of the quorum
	outages int // of every JobManager
	limit   time.Duration
}

func (f *faults) flags() {
	flag.BoolVar(&f.quick, "quick", false, "faults: a few of each fault and short ones, to try it")
	flag.StringVar(&f.rows, "rows", "", "faults: a regular expression for the names of the rows to measure: zookeeper, embedded, large, sigterm, sigstop, server, quorum, outage; all if empty")
	flag.IntVar(&f.sigkill, "sigkill", 1000, "faults: leaders to kill per coordination")
	flag.IntVar(&f.control, "control", 1000, "faults: standbys to kill between those on ZooKeeper")
	flag.IntVar(&f.large, "large-kills", 20, "faults: leaders with 4 GB of memory to kill, per heartbeat time-out")
	flag.IntVar(&f.sigterm, "sigterm", 100, "faults: leaders to stop politely")
	flag.IntVar(&f.freezes, "freezes", 10, "faults: leaders to freeze for each length of time up to 3 s; a fifth as many for 10 s, 30 s and 120 s each")
	flag.IntVar(&f.servers, "servers", 15, "faults: ZooKeeper leaders to kill, and to freeze")
	flag.IntVar(&f.losses, "losses", 2, "faults: quorums to lose")
	flag.IntVar(&f.outages, "outages", 2, "faults: times to kill every JobManager")
	flag.DurationVar(&f.limit, "limit", time.Hour, "faults: when it is over, what was measured is told, and no more faults are caused")
}

// scaled is f, or a taste of it.
func (f faults) scaled() faults {
	if f.quick {
		f.sigkill, f.control, f.large, f.sigterm, f.freezes, f.servers, f.losses, f.outages = 8, 8, 2, 3, 1, 1, 1, 1
	}
	return f
}

// lasting is how long something is away: d, or a few seconds to try it.
func (f faults) lasting(d time.Duration) time.Duration {
	if f.quick {
		return min(d, 3*time.Second)
	}
	return d
}

// trial is one measurement of `make bench-failover` under way.
type trial struct {
	faults
	b binaries
	r *report
}

func (t *trial) row(what string, n int, figure, goal string) {
	t.r.row(what, fmt.Sprint(n), figure, goal)
}

// everyFault is `make bench-failover`.
func everyFault(ctx context.Context, o options, r *report) error {
	only, err := regexp.Compile(o.rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	t := &trial{o.scaled(), b, r}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("the %v of -limit were over", o.limit))
	defer cancel()
	r.table("Failover: three JobManagers, two TaskManagers, a job of 1,000 records/s with checkpoint.interval 1 s, all on this machine; milliseconds, p50 / p99 / worst",
		"fault, and what is measured", "n", "figure", "to reach")
	var failed error
	for _, row := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"zookeeper", t.zooKeeper}, {"embedded", t.embedded}, {"large", t.largeLeader}, {"sigterm", t.politely}, {"sigstop", t.frozen},
		{"server", t.ensembleLeader}, {"quorum", t.quorumLost}, {"outage", t.everyJobManager},
	} {
		if !only.MatchString(row.name) {
			continue
		}
		start := time.Now()
		if err := row.run(ctx); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", row.name, err))
			t.row(row.name+": not all of it was carried through", 0, firstLine(err), "–")
		}
		fmt.Printf("(%s took %v, %v so far)\n", row.name, time.Since(start).Round(time.Second), time.Since(began).Round(time.Second))
	}
	r.note("\nA thousand TaskManagers: `go run ./benchmarks -only scale`. Kills in all of the chaos runs: `make chaos`.")
	return failed
}

// onZooKeeper is a stage beside an ensemble of its own, with these settings besides.
func (t *trial) onZooKeeper(ctx context.Context, settings map[string]string, do func(context.Context, *stage) error) error {
	return withEnsemble(ctx, t.b.dir, func(quorum string) error { return t.onQuorum(ctx, quorum, settings, do) })
}

func (t *trial) onQuorum(ctx context.Context, quorum string, settings map[string]string, do func(context.Context, *stage) error) error {
	all := map[string]string{"zookeeper.quorum": quorum, "checkpoint.interval": "1s", "checkpoint.retained": "10"}
	maps.Copy(all, settings)
	return onStage(ctx, t.b, localcluster.Config{Settings: all}, do)
}

func (t *trial) zooKeeper(ctx context.Context) error {
	return t.onZooKeeper(ctx, nil, func(ctx context.Context, s *stage) error {
		var control []time.Time
		kills, err := s.killAll(ctx, t.sigkill, 22*time.Minute, func(ctx context.Context) error {
			if len(control) >= t.control {
				return nil
			}
			at, err := s.killStandby(ctx)
			if err == nil {
				control = append(control, at)
			}
			return err
		})
		t.killRows(ctx, s, kills, "3-server ZooKeeper", "p50 ≤ 4, p99 ≤ 25", "p99 ≤ 50")
		return errors.Join(err, t.gapRows(s, kills, control))
	})
}

func (t *trial) embedded(ctx context.Context) error {
	c := localcluster.Config{Embedded: true, Settings: map[string]string{"checkpoint.interval": "1s", "checkpoint.retained": "10"}}
	return onStage(ctx, t.b, c, func(ctx context.Context, s *stage) error {
		kills, err := s.killAll(ctx, t.sigkill, 11*time.Minute, nil)
		t.killRows(ctx, s, kills, "embedded quorum", "p50 ≤ 8, p99 ≤ 60", "p99 ≤ 60")
		return err
	})
}

// killRows are those of SIGKILL.
func (t *trial) killRows(ctx context.Context, s *stage, kills []kill, name, epoch, adopted string) {
	load, took := s.load(), time.Since(s.began)
	wait, n, missed := s.longestWait()
	t.row(fmt.Sprintf("SIGKILL of the leader, %s → epoch committed (the job takes %.0f %% of the CPUs; signs: %s)", name, load, causes(kills)), len(kills), three(epochs(kills)), epoch)
	t.row("of it, until a standby took the leader for dead", len(kills), three(suspicions(kills)), "–")
	t.row(fmt.Sprintf("the same → all adopted, and the API answering (%d times not all was heard of in time)", strays(kills)), len(kills), three(adoptions(kills)), adopted)
	t.row("tasks restarted by it", len(kills), s.restarted(ctx), "0")
	t.row(fmt.Sprintf("the longest time between two completed checkpoints meanwhile (%d ids came to nothing)", missed), n, ms(wait), "≤ 1100")
	fmt.Printf("(%v per kill)\n", (took / time.Duration(max(len(kills), 1))).Round(time.Millisecond))
}

// gapRows compare what a sink saw of leaders' deaths with what it saw of standbys'.
func (t *trial) gapRows(s *stage, kills []kill, control []time.Time) error {
	of := func(gaps []time.Duration) string {
		return fmt.Sprintf("%s / %s / %s / %s", ms(quantile(gaps, 0.5)), ms(quantile(gaps, 0.99)), ms(quantile(gaps, 0.999)), ms(quantile(gaps, 1)))
	}
	led, err := s.gaps(kills)
	if err != nil {
		return err
	}
	stood, err := s.gapsAfter(control, gapWindow)
	if err != nil {
		return err
	}
	t.row("the longest gap at the sink that reaches into the 200 ms after the kill, p50 / p99 / p99.9 / worst", len(led), of(led), "–")
	t.row("control: the same of a standby that is killed in between", len(stood), of(stood), "–")
	t.row("what the leader's death adds to it at p99.9", min(len(led), len(stood)), ms(quantile(led, 0.999)-quantile(stood, 0.999)), "≤ 5")
	return nil
}

func firstLine(err error) string {
	for i, r := range err.Error() {
		if r == '\n' || i > 200 {
			return err.Error()[:i]
		}
	}
	return err.Error()
}
