// Command run is "make simulate": seeds of package simulator, each in a process of its own, as many at once as there are CPUs. It ends with a line
// of totals, and with status 1 if a seed has failed.
//
// The processes have a Go runtime of their own, which it makes for the build of the test binary alone, by an overlay of files: what
// it would draw from the system it draws from the seed, and it takes a CPU from no goroutine. So a seed has one course, and
// the wall clock of one host can be set.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "the first seed")
	flag.IntVar(&o.seeds, "seeds", 500, "how many")
	flag.IntVar(&o.processes, "processes", runtime.NumCPU(), "how many at once")
	flag.StringVar(&o.keep, "keep", "", "faults/jobs of the seed's plan that are kept, by their numbers")
	flag.BoolVar(&o.story, "story", false, "tell all that happens")
	flag.IntVar(&o.repeat, "repeat", 0, "run each seed so often again, and count how often its course is another")
	flag.StringVar(&o.only, "o", "", "only build the test binary, there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Println("simulate: FAILED", err)
		os.Exit(1)
	}
}

type options struct {
	seed             uint64
	seeds, processes int
	keep             string
	story            bool
	repeat           int
	only             string
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "perennial-simulate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := cmp.Or(o.only, filepath.Join(dir, "simulator.test"))
	err = build(ctx, dir, binary)
	if err != nil {
		return err
	}
	if o.only != "" {
		return nil
	}
	began := time.Now()
	work := make(chan uint64)
	var wg sync.WaitGroup
	var totals totals
	for range max(1, o.processes) {
		wg.Go(func() {
			for seed := range work {
				out, err := simulate(ctx, o, binary, seed)
				totals.add(out, err)
				for range o.repeat {
					again, _ := simulate(ctx, o, binary, seed)
					totals.compare(out, again)
				}
			}
		})
	}
	for i := 0; i < o.seeds && ctx.Err() == nil; i++ {
		work <- o.seed + uint64(i)
	}
	close(work)
	wg.Wait()
	took := time.Since(began)
	fmt.Printf("%d seeds in %v, %.0f an hour; %s\n", totals.seeds, took.Round(time.Second), float64(totals.seeds)/took.Hours(), totals.sums())
	if totals.failed > 0 {
		return fmt.Errorf("%d seeds", totals.failed)
	}
	return ctx.Err()
}

// simulate runs a seed in a process of its own, in which nothing is left of another, and prints what that says if it fails.
func simulate(ctx context.Context, o options, binary string, seed uint64) (string, error) {
	args := []string{"-test.run", "^TestSeeds$", "-test.timeout", "30m", fmt.Sprintf("-simulate.seed=%d", seed), "-simulate.seeds=1",
		"-simulate.keep=" + o.keep, fmt.Sprintf("-simulate.story=%t", o.story)}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil || o.story {
		fmt.Print(out.String())
	}
	return out.String(), err
}

// totals are of all processes.
type totals struct {
	mu            sync.Mutex
	seeds, failed int
	by            map[string]int
}

// add counts what a process says of each of its seeds.
func (t *totals) add(out string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failed++
	}
	if t.by == nil {
		t.by = map[string]int{}
	}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var seed, epochs, restarts, checkpoints int
		var trace string
		line := lines.Text()
		if n, _ := fmt.Sscanf(line, "seed %d trace %s epochs %d restarts %d checkpoints %d", &seed, &trace, &epochs, &restarts, &checkpoints); n != 5 {
			continue
		}
		t.seeds++
		t.by["epochs"] += epochs
		t.by["restarts"] += restarts
		t.by["checkpoints"] += checkpoints
		_, faults, _ := strings.Cut(line, "map[")
		for _, one := range splitFaults(strings.TrimSuffix(faults, "]")) {
			t.by[one.name] += one.n
		}
	}
}

// compare counts what is the same again, and what is not.
func (t *totals) compare(out, again string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, _, _ := strings.Cut(out, "\n")
	second, _, _ := strings.Cut(again, "\n")
	if first == second {
		t.by["the same again"]++
		return
	}
	t.by["not the same again"]++
	fmt.Printf("another course:\n%s\n%s\n", first, second)
}

type counted struct {
	name string
	n    int
}

// splitFaults reads what a map of names with spaces prints as.
func splitFaults(s string) (list []counted) {
	for s != "" {
		name, rest, found := strings.Cut(s, ":")
		if !found {
			return list
		}
		var c counted
		number, after, _ := strings.Cut(rest, " ")
		if _, err := fmt.Sscan(number, &c.n); err != nil {
			return list
		}
		c.name = name
		list, s = append(list, c), after
	}
	return list
}

func (t *totals) sums() string {
	var list []string
	for name, n := range t.by {
		list = append(list, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// build makes the test binary on a runtime that draws from the seed.
func build(ctx context.Context, dir, binary string) error {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	overlay, err := writeOverlay(filepath.Join(strings.TrimSpace(string(root)), "src"), dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "simulated", "-overlay", overlay, "-o", binary, "github.com/perennial-io/perennial/internal/simulator")
	var said bytes.Buffer
	cmd.Stderr = io.MultiWriter(os.Stderr, &said)
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("build the simulator: %w", err))
	}
	return nil
}
