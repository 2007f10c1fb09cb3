package demo

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/meter"
)

// screen tells the demo as it goes: lines that stay, and on a terminal one line that is drawn
// anew below them.
type screen struct {
	out   io.Writer
	width func() int // nil: no terminal
	drawn bool

	leader  string
	last    string // how long the last takeover took
	words   uint64
	earlier uint64 // of the words: those of earlier attempts
	attempt job.Attempt
	rate    meter.Meter
}

func newScreen(out io.Writer, width func() int) *screen {
	return &screen{out: out, width: width, last: "-"}
}

// say prints a line that stays.
func (s *screen) say(format string, args ...any) {
	s.clear()
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *screen) clear() {
	if s.drawn {
		fmt.Fprint(s.out, "\r\x1b[2K")
		s.drawn = false
	}
}

// leads notes who leads.
func (s *screen) leads(m client.JobManager) {
	s.leader = fmt.Sprintf("leader %d, epoch %d", m.PID, m.Epoch)
}

// killed tells of one leader change.
func (s *screen) killed(n int, was, now client.JobManager, took time.Duration) {
	s.last = took.Round(100 * time.Microsecond).String()
	s.leads(now)
	s.say("kill %2d: leader %d (epoch %d) killed, %d leads (epoch %d) after %s",
		n, was.PID, was.Epoch, now.PID, now.Epoch, took.Round(100*time.Microsecond))
}

// restarted tells of one task process whose death restarted the job.
func (s *screen) restarted(n, pid int, j client.Job, took time.Duration) {
	s.say("task %2d: process %d killed, attempt %d runs from checkpoint %d after %s",
		n, pid, j.Attempt, j.Checkpoints.Restored, took.Round(100*time.Microsecond))
}

// job draws the live line. A new leader hears the counters within a second; until then the last
// ones stand.
func (s *screen) job(j client.Job) {
	if s.width == nil {
		return
	}
	if j.Attempt != s.attempt { // whose counters begin at zero
		s.attempt, s.earlier = j.Attempt, s.words
	}
	for _, v := range j.Vertices {
		s.words = max(s.words, s.earlier+v.RecordsOut)
	}
	now := time.Now()
	s.rate.Look(now, s.words)
	line := fmt.Sprintf("%s · %.2fM words, %.0fk/s · attempt %d · takeover %s",
		s.leader, float64(s.words)/1e6, float64(s.rate.PerSecond(now))/1e3, j.Attempt, s.last)
	fmt.Fprintf(s.out, "\r%s\x1b[K", cut(line, s.width()-3))
	s.drawn = true
}

// cut shortens a line to what fits, as one that wraps cannot be drawn over; the caller leaves room
// for the ^C that a terminal may write behind it.
func cut(line string, columns int) string {
	if r := []rune(line); len(r) > columns {
		return string(r[:max(columns, 0)])
	}
	return line
}

// Report prints the table and the last line.
func (r Result) Report(out io.Writer, kills, tasks int) {
	p50, worst := quantiles(r.Takeovers)
	again, longest := quantiles(r.Recoveries)
	fmt.Fprintf(out, "\n  words counted            %d (%d distinct)\n", r.Words, r.Distinct)
	fmt.Fprintf(out, "  leaders killed           %d\n", r.Kills)
	fmt.Fprintf(out, "  kill to next one serving %.1f ms median, %.1f ms at worst\n", milliseconds(p50), milliseconds(worst))
	fmt.Fprintf(out, "  task processes killed    %d\n", r.TasksKilled)
	fmt.Fprintf(out, "  kill to running again    %.1f ms median, %.1f ms at worst\n", milliseconds(again), milliseconds(longest))
	fmt.Fprintf(out, "  other restarts           %d\n", r.Restarts)
	fmt.Fprintf(out, "  words lost, duplicated   %d, %d\n\n", r.Lost, r.Duplicated)
	word := "OK"
	if !r.OK(kills, tasks) {
		word = "FAILED"
	}
	fmt.Fprintf(out, "demo: %s words=%d distinct=%d leaders-killed=%d takeover-p50-ms=%.1f takeover-max-ms=%.1f",
		word, r.Words, r.Distinct, r.Kills, milliseconds(p50), milliseconds(worst))
	fmt.Fprintf(out, " tasks-killed=%d recovery-p50-ms=%.1f recovery-max-ms=%.1f task-restarts=%d lost=%d duplicated=%d\n",
		r.TasksKilled, milliseconds(again), milliseconds(longest), r.Restarts, r.Lost, r.Duplicated)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantiles are the median and the largest.
func quantiles(d []time.Duration) (p50, worst time.Duration) {
	if len(d) == 0 {
		return 0, 0
	}
	sorted := slices.Clone(d)
	slices.Sort(sorted)
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}
