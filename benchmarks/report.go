package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/build"
)

// report collects figures as Markdown, and shows them as they come.
type report struct{ text strings.Builder }

func newReport() *report {
	r := &report{}
	commit := "unknown commit"
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	r.note("\n## %s · commit %s\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), commit)
	r.note("%s · %d CPUs (%s)", build.Describe(), runtime.NumCPU(), cpuModel())
	return r
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " \t:\n")
		}
	}
	return runtime.GOARCH
}

// note adds a line.
func (r *report) note(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	fmt.Fprintf(&r.text, format+"\n", args...)
}

// table begins a table.
func (r *report) table(title string, columns ...string) {
	r.note("\n### %s\n", title)
	r.row(columns...)
	r.note("|%s", strings.Repeat(" --- |", len(columns)))
}

func (r *report) row(cells ...string) { r.note("| %s |", strings.Join(cells, " | ")) }

func (r *report) appendTo(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(r.text.String()); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// quantile is the smallest value that a part q of all does not exceed: 0.5 the median, 1 the largest, and of a
// thousand values 0.999 the largest but one.
func quantile[T int | int64 | float64 | time.Duration](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9)) // 0.07 of 100 is more than 7 in floating point
	return sorted[max(rank, 1)-1]
}

// ms writes a duration in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

// us writes a duration in microseconds.
func us(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Microsecond)) }
