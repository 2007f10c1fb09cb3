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
	"github.com/perennial-io/perennial/internal/meter"
)

// plainInterval is how often the numbers of a running job are told where there is no terminal.
const plainInterval = 5 * time.Second

// progress shows a job while it runs: on a terminal a table that is drawn over itself, and
// elsewhere a line at each change of state and now and then between.
type progress struct {
	out  io.Writer
	size func() (width, height int) // of the terminal; nil: there is none

	drawn  int           // lines of the table on the screen
	meters []meter.Meter // of the vertices
	state  string        // as last told without a terminal,
	told   time.Time
	noted  bool // what becomes of state was told
}

func newProgress(f *os.File) *progress {
	p := &progress{out: f}
	if term.IsTerminal(int(f.Fd())) {
		p.size = func() (int, int) { return terminalSize(f) }
	}
	return p
}

// terminalSize is asked for each time: windows change.
func terminalSize(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 || height < 2 {
		return 80, 24
	}
	return width, height
}

func (p *progress) show(j client.Job) {
	if notes := j.Checkpoints.Notes; len(notes) > 0 && !p.noted {
		p.noted = true
		p.say(strings.Join(notes, "\n"))
	}
	now := time.Now()
	rates := p.measure(j, now)
	if p.size != nil {
		width, height := p.size()
		p.redraw(tableOf(j, rates, width), width, height)
		return
	}
	if state := describe(j); state != p.state || now.Sub(p.told) >= plainInterval {
		p.state, p.told = state, now
		fmt.Fprintln(p.out, lineOf(j, rates))
	}
}

// measure looks at the counters: what a vertex takes in, or emits if it is a source.
func (p *progress) measure(j client.Job, now time.Time) (rates []uint64) {
	if len(p.meters) != len(j.Vertices) {
		p.meters = make([]meter.Meter, len(j.Vertices))
	}
	for i, v := range j.Vertices {
		n := v.RecordsIn
		if n == 0 {
			n = v.RecordsOut
		}
		p.meters[i].Look(now, n)
		rates = append(rates, p.meters[i].PerSecond(now))
	}
	return rates
}

// redraw writes the lines over those of the last time, in one piece, so that nothing flickers. No
// line is as wide as the terminal, where it would wrap, and there are never as many as it has.
func (p *progress) redraw(lines []string, width, height int) {
	lines = lines[:min(len(lines), height-1)]
	var b strings.Builder
	b.WriteString("\r")
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "%s\x1b[K\n", shorten(l, width-1))
	}
	b.WriteString("\x1b[J")
	fmt.Fprint(p.out, b.String())
	p.drawn = len(lines)
}

// say prints a line that stays, and the table before it too; the next one comes below.
func (p *progress) say(line string) {
	p.done()
	fmt.Fprintln(p.out, line)
}

// done leaves the last table on the screen, and wipes out the ^C that a terminal writes below.
func (p *progress) done() {
	p.drawn = 0
	if p.size != nil {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// describe is a job's state, for a person.
func describe(j client.Job) string {
	text := stateOf(j)
	if j.SlotsMissing > 0 {
		text += ", " + missingSlots(j)
	}
	if j.LeaseWait != nil {
		text += ", " + leaseWait(j, time.Now())
	}
	return text
}

func stateOf(j client.Job) string {
	text := fmt.Sprintf("%s is %s", j.Name, j.State)
	if j.Restarts > 0 {
		text += fmt.Sprintf(", restarted %s", times(j.Restarts))
	}
	return text
}

// leaseWait says for what a job waits that lost a TaskManager.
func leaseWait(j client.Job, now time.Time) string {
	left := max(j.LeaseWait.Until.Sub(now), 0).Round(100 * time.Millisecond)
	return fmt.Sprintf("waits %v at most for the lease of TaskManager %s, which was lost: start a TaskManager with its directory, on its host, to go on at once", left, j.LeaseWait.TaskManager)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func missingSlots(j client.Job) string {
	return fmt.Sprintf("waits for %d of %d slots: start TaskManagers, or lower the parallelism", j.SlotsMissing, j.SlotsNeeded)
}

// Widths of the table's columns: all but the first one's are fixed.
const (
	rowFormat = "  %-*s %11s %7s %7s %7s %5s %8s"
	restWidth = 2 + 12 + 8 + 8 + 8 + 6 + 9
	nameMost  = 50
	nameLeast = 12
)

// tableOf is the job's state, and a row per vertex.
func tableOf(j client.Job, rates []uint64, width int) []string {
	name := nameLeast
	for _, v := range j.Vertices {
		name = max(name, len([]rune(v.Name)))
	}
	name = max(nameLeast, min(name, nameMost, width-1-restWidth))
	row := func(cells ...any) string {
		return fmt.Sprintf(rowFormat, append([]any{name}, cells...)...)
	}
	lines := []string{stateOf(j)}
	if j.SlotsMissing > 0 {
		lines = append(lines, "  "+missingSlots(j))
	}
	if j.LeaseWait != nil {
		lines = append(lines, "  "+leaseWait(j, time.Now()))
	}
	if len(j.Vertices) > 0 {
		lines = append(lines, row("vertex", "subtasks", "in", "out", "rate/s", "busy", "blocked"))
	}
	for i, v := range j.Vertices {
		lines = append(lines, row(shorten(v.Name, name), subtasks(v), count(v.RecordsIn), count(v.RecordsOut), count(rates[i]), percent(v.Busy), percent(v.Blocked)))
	}
	return lines
}

// lineOf is the same in one line.
func lineOf(j client.Job, rates []uint64) string {
	parts := []string{describe(j)}
	for i, v := range j.Vertices {
		if j.State == job.Created {
			break // nothing has moved yet
		}
		parts = append(parts, fmt.Sprintf("%s: %s, %s in, %s out, %s/s, busy %s, blocked %s",
			v.Name, subtasks(v), count(v.RecordsIn), count(v.RecordsOut), count(rates[i]), percent(v.Busy), percent(v.Blocked)))
	}
	return strings.Join(parts, "; ")
}

// subtasks tells what the subtasks of a vertex do: of several states the one of those that
// have not ended.
func subtasks(v client.Vertex) string {
	counts := map[client.State]int{}
	for _, s := range v.Subtasks {
		counts[s.State]++
	}
	for _, s := range []client.State{job.Failed, job.Running, job.Deploying, job.Created, job.Cancelling, job.Canceled, job.Finished} {
		if n := counts[s]; n > 0 {
			return fmt.Sprintf("%d %s", n, strings.ToLower(string(s)))
		}
	}
	return "-"
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

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

// shorten cuts s to n columns.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:max(n-1, 0)]) + "…"
}
