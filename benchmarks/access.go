package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const accessRuns = 3

// comparison is a way to keep state beside what it is measured by, as benchmarks of a package.
type comparison struct {
	name, pkg    string
	ours, theirs string // names of benchmarks
	times        string // they are run, as -benchtime takes it
	goal         string
}

func comparisons() []comparison {
	return []comparison{
		{"memory beside a Go map", "./internal/state", "BenchmarkValue", "BenchmarkMap", "5000000x", "–"},
		{"disk beside Pebble alone", "./state/disk", "BenchmarkAccess/store", "BenchmarkAccess/raw", "500000x", "≥ 0.7"},
	}
}

// access measures one read and one write of the value of a key of about a million.
func access(ctx context.Context, _ options, r *report) error {
	dir, err := os.MkdirTemp("", "perennial-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r.table(fmt.Sprintf("Keyed state: a read and a write of a value of 8 bytes, of a random one of about 1 M keys, one goroutine; nanoseconds, medians of %d runs, in turn", accessRuns),
		"state", "it", "what it is beside", "its speed: of the other's, median (lowest – highest)", "to reach")
	for _, c := range comparisons() {
		if err := c.measure(ctx, dir, r); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (c comparison) measure(ctx context.Context, dir string, r *report) error {
	test := filepath.Join(dir, filepath.Base(c.pkg)+".test")
	if text, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, c.pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("build the tests of %s: %w\n%s", c.pkg, err, text)
	}
	var ours, theirs, ratios []float64
	for range accessRuns {
		their, err := nanoseconds(ctx, test, c.theirs, c.times)
		if err != nil {
			return err
		}
		our, err := nanoseconds(ctx, test, c.ours, c.times)
		if err != nil {
			return err
		}
		ours, theirs, ratios = append(ours, our), append(theirs, their), append(ratios, their/our)
	}
	r.row(c.name, fmt.Sprintf("%.0f", quantile(ours, 0.5)), fmt.Sprintf("%.0f", quantile(theirs, 0.5)),
		fmt.Sprintf("%.2f (%.2f – %.2f)", quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1)), c.goal)
	return nil
}

// nanoseconds runs one benchmark, and returns what an operation took: of CPU time, if it tells, as a busy machine changes
// that less.
func nanoseconds(ctx context.Context, test, benchmark, times string) (float64, error) {
	pattern := "^" + strings.ReplaceAll(benchmark, "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, test, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", times)
	cmd.Dir = os.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", benchmark, err, out)
	}
	for _, unit := range []string{"cpu-ns/op", "ns/op"} {
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			for i := 1; i < len(fields) && strings.HasPrefix(line, benchmark); i++ {
				if fields[i] == unit {
					return strconv.ParseFloat(fields[i-1], 64)
				}
			}
		}
	}
	return 0, fmt.Errorf("%s told no time:\n%s", benchmark, out)
}
