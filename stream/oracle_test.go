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
	done := map[string]int{}
	for seed := *oracleSeed; seed < *oracleSeed+*oracleSeeds; seed++ {
		synctest.Test(t, func(t *testing.T) {
			r, err := disturbed(t, seed)
			if err != nil {
				t.Errorf("seed %d: %v\n%s\nagain: go test ./stream -run TestOracle -oracle.seed=%d -oracle.seeds=1 -count=20",
					seed, err, strings.Join(r.Story, "\n"), seed)
			}
			for name, n := range r.Faults {
				done[name] += n
			}
			done["restarts"] += r.Restarts
			done["checkpoints"] += r.Checkpoints
		})
		if t.Failed() {
			break
		}
	}
	t.Log(done)
}

// disturbed runs the job of a seed both ways.
func disturbed(t *testing.T, seed int) (oracle.Result, error) {
	dir := scratch(t)
	draw := rand.New(rand.NewPCG(uint64(seed), 4))
	records, unbounded := 200+draw.IntN(2000), draw.IntN(3) == 0
	args := func(output string, rate, skew float64) []string {
		a := []string{"--seed", strconv.Itoa(seed), "--records", strconv.Itoa(records), "--output", filepath.Join(dir, output),
			"--rate", fmt.Sprint(rate), "--skew", fmt.Sprint(skew)}
		if unbounded {
			a = append(a, "--unbounded")
		}
		return a
	}
	c := oracle.Config{
		Seed: seed, Dir: dir, Output: filepath.Join(dir, "disturbed"), Plan: stream.PlanOf("chaos", chaos.Build),
		Spec:   job.Spec{ID: job.NewID(), Name: "chaos", Args: args("disturbed", float64(records)/2, float64(draw.IntN(3)*draw.IntN(10)))},
		Faults: 1 + draw.IntN(8), Length: 3 * time.Second,
	}
	want := chaos.UnboundedLines(records)
	if unbounded {
		c.Want = len(want)
	} else {
		err := stream.Run(t.Context(), "chaos", args("undisturbed", 0, 0), chaos.Build)
		if err != nil {
			return oracle.Result{}, err
		}
		if want, err = chaos.Lines(filepath.Join(dir, "undisturbed")); err != nil {
			return oracle.Result{}, err
		}
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
