package stream_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/internal/chaos/oracle"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/stream"
)

var (
	oracleSeed  = flag.Int("oracle.seed", 0, "the first seed of TestOracle")
	oracleSeeds = flag.Int("oracle.seeds", 200, "how many seeds TestOracle takes")
)

// TestOracle runs the job that each seed draws undisturbed, and again under the faults that it draws: both
// must commit the same output. Which goroutine goes first no seed decides: a failure may need some repetitions.
func TestOracle(t *testing.T) {
	done, root := map[string]int{}, scratch(t)
	for seed := *oracleSeed; seed < *oracleSeed+*oracleSeeds && !t.Failed(); seed++ {
		one := func(t *testing.T) {
			r, err := disturbed(t, filepath.Join(root, strconv.Itoa(seed)), draw(seed))
			if err != nil {
				t.Errorf("seed %d: %v\n%s\nagain: go test ./stream -run TestOracle -oracle.seed=%d -oracle.seeds=1 -count=20",
					seed, err, strings.Join(r.Story, "\n"), seed)
			}
			for name, n := range r.Faults {
				done[name] += n
			}
			done["restarts"] += r.Restarts
			done["checkpoints"] += r.Checkpoints
		}
		if draw(seed).full {
			one(t)
		} else {
			synctest.Test(t, one)
		}
	}
	t.Log(done)
}

// drawn is what a seed draws beside the job itself and the faults.
type drawn struct {
	seed, records, faults int
	unbounded             bool
	rate, skew            float64
	length                time.Duration
	// full has the job move many records in time as it is: snapshots are written meanwhile.
	full  bool
	build func(*stream.Env)
}

func draw(seed int) drawn {
	r := rand.New(rand.NewPCG(uint64(seed), 4))
	d := drawn{seed: seed, records: 200 + r.IntN(2000), unbounded: r.IntN(3) == 0, skew: float64(r.IntN(3) * r.IntN(10)), faults: 1 + r.IntN(8), length: 3 * time.Second, build: chaos.Build}
	d.rate = float64(d.records) / 2
	if d.full = seed%25 == 24; d.full {
		d.records, d.skew, d.length = 100*d.records, 0, 600*time.Millisecond
		d.rate = float64(d.records) / d.length.Seconds()
	}
	return d
}

// args are the job's.
func (d drawn) args(output string, rate, skew float64) []string {
	a := []string{"--seed", strconv.Itoa(d.seed), "--records", strconv.Itoa(d.records), "--output", output, "--rate", fmt.Sprint(rate), "--skew", fmt.Sprint(skew)}
	if d.unbounded {
		a = append(a, "--unbounded")
	}
	return a
}

// disturbed runs the job both ways, in a directory of its own. Uploads that were given up may outlive it a little.
func disturbed(t *testing.T, dir string, d drawn) (oracle.Result, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return oracle.Result{}, err
	}
	defer os.RemoveAll(dir)
	want, err := d.undisturbed(t, filepath.Join(dir, "undisturbed"))
	if err != nil {
		return oracle.Result{}, err
	}
	c := oracle.Config{
		Seed: d.seed, Dir: dir, Output: filepath.Join(dir, "disturbed"), Plan: stream.PlanOf("chaos", d.build),
		Spec:   job.Spec{ID: job.NewID(), Name: "chaos", Args: d.args(filepath.Join(dir, "disturbed"), d.rate, d.skew)},
		Faults: d.faults, Length: d.length,
	}
	if d.unbounded {
		c.Want = len(want)
	}
	r, err := oracle.Run(t.Context(), c)
	if err != nil {
		return r, err
	}
	got, err := chaos.Lines(c.Output)
	if lost, duplicated := chaos.Compare(want, got); err == nil && lost+duplicated > 0 {
		err = fmt.Errorf("%d lines lost, %d that should not be there, of %d", lost, duplicated, len(want))
	}
	return r, err
}

// undisturbed are the lines that the job puts out.
func (d drawn) undisturbed(t *testing.T, output string) ([]string, error) {
	if d.unbounded {
		return chaos.UnboundedLines(d.records), nil
	}
	if err := stream.Run(t.Context(), "chaos", d.args(output, 0, 0), d.build); err != nil {
		return nil, err
	}
	return chaos.Lines(output)
}

// scratch is a directory in memory, where there is one: nothing here is about the disk.
func scratch(t *testing.T) string {
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "perennial-oracle-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
