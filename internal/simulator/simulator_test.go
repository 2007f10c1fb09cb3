package simulator

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	firstSeed = flag.Uint64("simulate.seed", 1, "the first seed")
	seeds     = flag.Int("simulate.seeds", 20, "how many seeds")
	verbose   = flag.Bool("simulate.story", false, "print what happens, and what processes log")
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
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func run(t *testing.T, plan Plan, o Options) (r Result) {
	o.Dir = scratch(t)
	if *verbose {
		o.Log = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(plan, o); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

func TestSeeds(t *testing.T) {
	done := map[Kind]int{}
	var total Result
	for i := range *seeds {
		seed := *firstSeed + uint64(i)
		r := run(t, Draw(seed), Options{})
		for k, n := range r.Faults {
			done[k] += n
		}
		total.Epochs, total.Restarts, total.Completed = total.Epochs+r.Epochs, total.Restarts+r.Restarts, total.Completed+r.Completed
		if *verbose {
			fmt.Println(strings.Join(r.Story, "\n"))
		}
		if len(r.Violations) > 0 {
			t.Errorf("seed %d: %s", seed, strings.Join(r.Violations, "\n"))
		}
		fmt.Printf("seed %d trace %016x epochs %d restarts %d checkpoints %d\n", seed, r.Trace, r.Epochs, r.Restarts, r.Completed)
	}
	t.Log(done, total.Epochs, total.Restarts, total.Completed)
}
