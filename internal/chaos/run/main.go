// Command run is "make chaos": rounds of package chaos on ZooKeeper and on the embedded quorum in turn, each
// round a job drawn from the next seed, until the time is over. It ends with a line of totals, and with
// status 1 at the first round whose output is wrong. It ends only processes that it started.
//
// Where it may mount, the cluster's storage is a small file system in memory, which faults fill.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

type options struct {
	seed    int
	minutes float64
	on      string
	quiet   bool
}

func main() {
	if os.Getenv("PERENNIAL_ROLE") != "" {
		chaos.Main()
	}
	var o options
	flag.IntVar(&o.seed, "seed", 1, "of the first round; each further round takes the next")
	flag.Float64Var(&o.minutes, "minutes", 5, "for how long rounds are begun")
	flag.StringVar(&o.on, "on", "zookeeper,embedded", "coordinations, each for an equal part of the time")
	flag.BoolVar(&o.quiet, "quiet", false, "only a line for each round")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Println("chaos: FAILED", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "perennial-chaos-")
	if err != nil {
		return err
	}
	binary := filepath.Join(dir, "perennial")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/perennial-io/perennial/cmd/perennial").CombinedOutput(); err != nil {
		return fmt.Errorf("build perennial: %w\n%s", err, out)
	}
	coordinations := strings.Split(o.on, ",")
	for _, c := range coordinations {
		length := time.Duration(o.minutes * float64(time.Minute) / float64(len(coordinations)))
		if o.seed, err = on(ctx, c, filepath.Join(dir, c), binary, o, length); err != nil {
			return fmt.Errorf("%w\nwhat was left for a look: %s", err, dir)
		}
	}
	return os.RemoveAll(dir)
}

// site is where rounds are done.
type site struct {
	coordination string
	dir          string
	cluster      *localcluster.Cluster
	storage      chaos.Storage
}

// on does rounds on one kind of coordination, and returns the seed of the next round.
func on(ctx context.Context, coordination, dir, binary string, o options, length time.Duration) (next int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	config := localcluster.Config{
		Binary: binary, Dir: dir, JobManagers: 3, TaskManagers: 3, Slots: 4, Embedded: coordination == "embedded",
		Settings: map[string]string{"checkpoint.interval": "200ms", "taskmanager.timeout": "2s"},
	}
	if coordination == "zookeeper" {
		e, err := testensemble.ZooKeeper(ctx, filepath.Join(dir, "zookeeper"), 3)
		if err != nil {
			return 0, err
		}
		defer e.Close()
		config.Settings["zookeeper.quorum"] = e.Connect()
	}
	storage := chaos.Storage{Dir: filepath.Join(dir, "storage")}
	release, err := small(storage.Dir)
	if err != nil {
		fmt.Printf("the storage is not filled: %v\n", err)
	} else {
		storage.Small = true
		defer func() { err = errors.Join(err, keep(storage.Dir, err), release()) }()
	}
	cluster, err := localcluster.Start(config)
	if err != nil {
		return 0, err
	}
	defer cluster.Stop()
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c := cluster.Client()
	defer c.Close()
	if err := cluster.Ready(ready, c); err != nil {
		return 0, err
	}
	return site{coordination, dir, cluster, storage}.rounds(ctx, o, length)
}

// keep copies what a failure left in the storage to where it stays.
func keep(dir string, failure error) error {
	if failure == nil {
		return nil
	}
	return os.CopyFS(dir+"-left", os.DirFS(dir))
}

func (s site) rounds(ctx context.Context, o options, length time.Duration) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	total, first, began := map[string]int{}, o.seed, time.Now()
	for ; time.Since(began) < length && ctx.Err() == nil; o.seed++ {
		work, err := os.MkdirTemp(s.dir, "round-")
		if err != nil {
			return 0, err
		}
		r, err := s.round(ctx, self, work, o)
		if err != nil {
			return 0, fmt.Errorf("%s, seed %d: %w\n%s", s.coordination, o.seed, err, s.cluster.Logs())
		}
		for name, n := range r.Faults {
			total[name] += n
		}
		total["lines"] += r.Lines
		total["restarts"] += r.Restarts
		total["checkpoints"] += r.Checkpoints
		total["aborted"] += r.Aborted
		if err := os.RemoveAll(work); err != nil {
			return 0, err
		}
	}
	fmt.Printf("chaos: OK on=%s seeds=%d-%d minutes=%.1f lost=0 duplicated=0%s\n", s.coordination, first, o.seed-1, time.Since(began).Minutes(), describe(total))
	return o.seed, ctx.Err()
}

func (s site) round(ctx context.Context, self, work string, o options) (chaos.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("the round was not over after 3 minutes"))
	defer cancel()
	say := func(format string, args ...any) {
		if !o.quiet {
			fmt.Printf(format+"\n", args...)
		}
	}
	r, err := chaos.Run(ctx, chaos.Config{
		Cluster: s.cluster, Binary: self, Dir: work, Storage: s.storage, Seed: o.seed, Records: 40_000, Rate: 4_000, Unbounded: o.seed%3 == 1, Faults: 15, Say: say,
	})
	if err == nil && r.Wrong() {
		err = fmt.Errorf("the output is wrong: %+v", r)
	}
	fmt.Printf("seed %d: %+v\n", o.seed, r)
	return r, err
}

// describe lists counts by name: "leader killed" as leader-killed=3.
func describe(counts map[string]int) string {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	text := ""
	for _, name := range names {
		text += fmt.Sprintf(" %s=%d", strings.ReplaceAll(name, " ", "-"), counts[name])
	}
	return text
}
