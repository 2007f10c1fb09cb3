package simulator

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

var (
	firstSeed = flag.Uint64("simulate.seed", 1, "the first seed of TestSeeds")
	seeds     = flag.Int("simulate.seeds", 80, "how many seeds TestSeeds takes")
	keep      = flag.String("simulate.keep", "", "the numbers of the faults of the seed's plan that are kept, then a slash and those of the jobs; empty: all")
	told      = flag.Bool("simulate.story", false, "print what happens, and what processes log")
	noShrink  = flag.Bool("simulate.noshrink", false, "tell of a plan that fails as it is")
)

// scratch is a directory in memory where there is one: nothing in it is worth a disk.
func scratch(t *testing.T) string {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "simulator-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t *testing.T, plan Plan, o Options) (r Result) {
	o.Dir = scratch(t)
	defer os.RemoveAll(o.Dir)
	if *told {
		o.Log = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	runtime.GC()
	Exactly()
	cryptotest.SetGlobalRandom(t, plan.Seed)
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(plan, o); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestSeeds runs the plans of seeds. One that fails is shrunk, and told with the command that runs what is left again.
func TestSeeds(t *testing.T) {
	faults, jobs := kept(t)
	for i := range *seeds {
		plan := Draw(*firstSeed+uint64(i)).Keep(faults, jobs)
		r := run(t, plan, Options{})
		fmt.Printf("seed %d trace %016x epochs %d restarts %d checkpoints %d faults %v\n", plan.Seed, r.Trace, r.Epochs, r.Restarts, r.Completed, r.Faults)
		if *told {
			fmt.Println(strings.Join(r.Story, "\n"))
		}
		if len(r.Violations) > 0 {
			fail(t, plan, r)
		}
	}
}

// tries is how often a plan is tried that may fail: with the runtime that every program has, one course is not the next.
func tries() int {
	if canJump {
		return 1
	}
	return 3
}

// fail shrinks a plan that has failed, and tells of it.
func fail(t *testing.T, plan Plan, r Result) {
	t.Helper()
	shrunk := Shrink(plan, func(less Plan) bool {
		if *noShrink {
			return false
		}
		for range tries() {
			if again := run(t, less, Options{}); len(again.Violations) > 0 {
				r = again
				return true
			}
		}
		return false
	})
	f, j := Kept(Draw(plan.Seed), shrunk)
	text := func(list []int) string { return strings.Trim(fmt.Sprint(list), "[]") }
	t.Errorf("FAILED seed %d: %s\nof %d faults %d are needed: %v\nagain: make simulate SEED=%d SEEDS=1 KEEP='%s/%s'\n%s",
		plan.Seed, strings.Join(r.Violations, "\n"), len(plan.Faults), len(shrunk.Faults), shrunk.Faults, plan.Seed, text(f), text(j), strings.Join(r.Story, "\n"))
}

// kept reads -simulate.keep.
func kept(t *testing.T) (faults, jobs []int) {
	if *keep == "" {
		return nil, nil
	}
	f, j, _ := strings.Cut(*keep, "/")
	read := func(s string) []int {
		list := []int{}
		for _, n := range strings.Fields(s) {
			i, err := strconv.Atoi(n)
			if err != nil {
				t.Fatalf("-simulate.keep: %v", err)
			}
			list = append(list, i)
		}
		return list
	}
	if jobs = read(j); len(jobs) == 0 {
		jobs = nil
	}
	return read(f), jobs
}

// TestUndisturbed: without faults all goes well, and at once.
func TestUndisturbed(t *testing.T) {
	for seed := range uint64(4) {
		plan := Draw(seed)
		plan.Faults, plan.Calm = nil, true
		r := run(t, plan, Options{})
		if len(r.Violations) > 0 || r.Epochs != 1 || r.Restarts != 0 {
			t.Errorf("seed %d: %d epochs, %d restarts, %v\n%s", seed, r.Epochs, r.Restarts, r.Violations, strings.Join(r.Story, "\n"))
		}
	}
}

// TestStaleCommitsAreFound: a coordination that takes what a replaced leader commits does not get past the checker (I2).
func TestStaleCommitsAreFound(t *testing.T) {
	found := 0
	for seed := range uint64(12) {
		r := run(t, Draw(seed), Options{StaleCommits: true})
		if strings.Contains(strings.Join(r.Violations, "\n"), "I2: ") {
			found++
		}
	}
	if found == 0 {
		t.Error("in none of 12 seeds the checker has found a commit of an epoch that was over")
	}
	t.Logf("found in %d of 12 seeds", found)
}
