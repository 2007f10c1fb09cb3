package stream

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// How often progress is shown: as a line that changes in place, or as lines in a log.
const (
	liveEvery  = 200 * time.Millisecond
	plainEvery = 5 * time.Second
)

// progress shows how far a job run by hand is. One goroutine uses it.
type progress struct {
	run   *localRun
	w     io.Writer
	live  bool // w is a terminal
	quiet bool
	began time.Time

	last  []uint64 // records in, per vertex, when it was last shown
	shown time.Time
}

func newProgress(r *localRun, f *os.File, quiet bool) *progress {
	info, err := f.Stat()
	live := err == nil && info.Mode()&os.ModeCharDevice != 0
	now := time.Now()
	return &progress{run: r, w: f, live: live, quiet: quiet, began: now, shown: now, last: make([]uint64, len(r.plan.Heads))}
}

// waitShowing is wait with progress shown meanwhile.
func (r *localRun) waitShowing(p *progress) error {
	done := make(chan error, 1)
	go func() { done <- r.wait() }()
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			p.erase()
			return err
		case now := <-ticker.C:
			p.show(now)
		}
	}
}

func (p *progress) show(now time.Time) {
	if p.quiet {
		return
	}
	line := p.line(now)
	if p.live {
		fmt.Fprintf(p.w, "\r\033[K%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) erase() {
	if p.live && !p.quiet {
		fmt.Fprint(p.w, "\r\033[K")
	}
}

// line is the job's name, its age, and for each vertex the records that came in and how many
// came in a second since the last line.
func (p *progress) line(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v", p.run.plan.Graph.Name, now.Sub(p.began).Round(time.Second))
	seconds := now.Sub(p.shown).Seconds()
	totals := p.totals()
	for v, n := range totals {
		if p.isSplits(v) {
			continue
		}
		fmt.Fprintf(&b, " | %s %s", p.run.plan.Heads[v].Name, count(float64(n)))
		if seconds > 0 {
			fmt.Fprintf(&b, " (%s/s)", count(float64(n-p.last[v])/seconds))
		}
	}
	p.last, p.shown = totals, now
	return b.String()
}

func (p *progress) isSplits(v int) bool {
	return p.run.plan.Graph.Vertices[v].Operators[0].Kind == kindSplits
}

// totals returns the records that came in, per vertex.
func (p *progress) totals() []uint64 {
	totals := make([]uint64, len(p.run.plan.Heads))
	ids, counters := p.run.execution.Progress()
	for i, id := range ids {
		totals[id.Vertex] += counters[i].In
	}
	return totals
}

func (p *progress) summary() {
	if p.quiet {
		return
	}
	p.shown = time.Now() // no rates
	fmt.Fprintf(p.w, "%s; finished after %v", p.line(p.shown), time.Since(p.began).Round(time.Millisecond))
	if n := len(p.run.outputs); n > 0 {
		fmt.Fprintf(p.w, ", %d output %s", n, plural(n, "file", "files"))
	}
	fmt.Fprintln(p.w)
	p.tellSkipped()
	p.run.metrics.print(p.w, p.run.plan.Graph)
}

// tellSkipped tells how many records failed and were given up, by operator.
func (p *progress) tellSkipped() {
	skipped := map[string]int{}
	_, counters := p.run.execution.Progress()
	for _, c := range counters {
		for name, op := range c.Operators {
			skipped[name] += int(op.Skipped)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(skipped)) {
		if n := skipped[name]; n > 0 {
			fmt.Fprintf(p.w, "operator %q: %d %s failed and %s given up\n", name, n, plural(n, "record", "records"), plural(n, "was", "were"))
		}
	}
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// count is a number of records for the eye: 950, 12.3k, 4.56M.
func count(n float64) string {
	switch {
	case n < 999.5:
		return fmt.Sprintf("%.0f", n)
	case n < 999.5e3:
		return fmt.Sprintf("%.3gk", n/1e3)
	case n < 999.5e6:
		return fmt.Sprintf("%.3gM", n/1e6)
	}
	return fmt.Sprintf("%.3gG", n/1e9)
}
