package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// progress shows a job while it runs: a table that is drawn over itself on a terminal, and
// elsewhere one line now and then.
type progress struct {
	out      io.Writer
	live     bool
	interval time.Duration

	drawn  int // lines of the table on the screen
	last   client.Job
	lastAt time.Time
	said   string
}

func newProgress(f *os.File) *progress {
	p := &progress{out: f, live: term.IsTerminal(int(f.Fd())), interval: 5 * time.Second}
	if p.live {
		p.interval = 500 * time.Millisecond
	}
	return p
}

func (p *progress) show(j client.Job) {
	now := time.Now()
	lines := describe(j, p.last, now.Sub(p.lastAt))
	p.last, p.lastAt = j, now
	if p.live {
		p.redraw(lines)
		return
	}
	if text := strings.Join(lines, "; "); text != p.said {
		fmt.Fprintln(p.out, text)
		p.said = text
	}
}

func (p *progress) redraw(lines []string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "\x1b[2K%s\n", l)
	}
	b.WriteString("\x1b[J")
	fmt.Fprint(p.out, b.String())
	p.drawn = len(lines)
}

// done leaves the last table on the screen.
func (p *progress) done() { p.drawn = 0 }

// describe is what there is to say of a job: its state, then a line per vertex.
func describe(j, before client.Job, elapsed time.Duration) []string {
	state := fmt.Sprintf("%s %s", j.Name, j.State)
	if j.Restarts > 0 {
		state += fmt.Sprintf(", restarted %d times", j.Restarts)
	}
	if j.SlotsMissing > 0 {
		state += ", waits for " + missingSlots(j)
	}
	lines := []string{state}
	for i, v := range j.Vertices {
		running := 0
		for _, s := range v.Subtasks {
			if s.State == job.Running {
				running++
			}
		}
		line := fmt.Sprintf("  %-40s %d/%d running  %s in  %s out", shorten(v.Name, 40), running, v.Parallelism, count(v.RecordsIn), count(v.RecordsOut))
		if i < len(before.Vertices) && elapsed > 0 && before.ID == j.ID {
			line += fmt.Sprintf("  %s/s", count(rate(v, before.Vertices[i], elapsed)))
		}
		line += fmt.Sprintf("  busy %3.0f%%  back-pressured %3.0f%%", 100*v.Busy, 100*v.Blocked)
		lines = append(lines, line)
	}
	return lines
}

// rate is of what a vertex takes in, or of what it emits when it is a source.
func rate(now, before client.Vertex, elapsed time.Duration) uint64 {
	moved := func(v client.Vertex) uint64 {
		if v.RecordsIn > 0 {
			return v.RecordsIn
		}
		return v.RecordsOut
	}
	if moved(now) < moved(before) { // a new attempt counts anew
		return 0
	}
	return uint64(float64(moved(now)-moved(before)) / elapsed.Seconds())
}

func missingSlots(j client.Job) string {
	return fmt.Sprintf("%d more slots (%d needed): start TaskManagers or lower the parallelism", j.SlotsMissing, j.SlotsNeeded)
}

// count writes a number as people read it: 950, 12.3k, 4.56M.
func count(n uint64) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.2fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2fG", float64(n)/1e9)
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
