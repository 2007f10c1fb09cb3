package demo

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/perennial-io/perennial/client"
)

// screen tells the demo as it goes: lines that stay, and on a terminal one line that is drawn
// anew below them.
type screen struct {
	out   io.Writer
	live  bool
	drawn bool

	leader string
	last   time.Duration
	moved  uint64
	at     time.Time
}

func newScreen(out io.Writer, live bool) *screen { return &screen{out: out, live: live} }

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

// killed tells of one leader change.
func (s *screen) killed(n int, was, now client.JobManager, took time.Duration) {
	s.last = took
	s.leader = fmt.Sprintf("leader pid %d, epoch %d", now.PID, now.Epoch)
	s.say("kill %2d: leader pid %d (epoch %d) killed; pid %d leads (epoch %d) and answers after %s",
		n, was.PID, was.Epoch, now.PID, now.Epoch, took.Round(100*time.Microsecond))
}

// job draws the live line.
func (s *screen) job(j client.Job) {
	if !s.live || len(j.Vertices) == 0 {
		return
	}
	var words uint64
	for _, v := range j.Vertices {
		words = max(words, v.RecordsOut)
	}
	now := time.Now()
	rate := float64(words-min(words, s.moved)) / now.Sub(s.at).Seconds()
	s.moved, s.at = words, now
	s.clear()
	fmt.Fprintf(s.out, "%s · %d words, %.0f/s · attempts %d · last takeover %s",
		s.leader, words, rate, j.Attempts, s.last.Round(100*time.Microsecond))
	s.drawn = true
}

// Report prints the table and the last line.
func (r Result) Report(out io.Writer, wanted int) {
	p50, worst := quantiles(r.Takeovers)
	fmt.Fprintf(out, "\n  words counted            %d (%d distinct)\n", r.Words, r.Distinct)
	fmt.Fprintf(out, "  leaders killed           %d\n", r.Kills)
	fmt.Fprintf(out, "  kill to next one serving %s median, %s at worst\n", p50, worst)
	fmt.Fprintf(out, "  tasks restarted          %d\n", r.Restarts)
	fmt.Fprintf(out, "  words lost, duplicated   %d, %d\n\n", r.Lost, r.Duplicated)
	word := "OK"
	if !r.OK(wanted) {
		word = "FAILED"
	}
	fmt.Fprintf(out, "demo: %s words=%d distinct=%d leaders-killed=%d takeover-p50-ms=%.1f takeover-max-ms=%.1f task-restarts=%d lost=%d duplicated=%d\n",
		word, r.Words, r.Distinct, r.Kills, milliseconds(p50), milliseconds(worst), r.Restarts, r.Lost, r.Duplicated)
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
