// Sessions tells the visits of users from a log of their clicks, a line of time and user for each:
//
//	2026-11-25T10:00:00Z ann
//
// A visit is over when no click has come for a while, by the time in the log, whenever the log is read.
//
//	sessions --input PATH --output DIR [--gap 30m] [--late 1m]
package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/stream"
)

// Click is a line of the log.
type Click struct {
	At   time.Time
	User string
}

// Visit is a row of the output.
type Visit struct {
	User   string
	From   time.Time
	To     time.Time // of its last click
	Clicks int
}

func main() { stream.Main("sessions", build) }

func build(env *stream.Env) {
	input := env.Arg("input", "a text file, a directory or a pattern")
	output := env.Arg("output", "a directory for the result, part-*.csv, and rejected/ beside it")
	gap := duration(env, "gap", "30m", "how long a user does nothing before a visit is over")
	late := duration(env, "late", "1m", "how far behind the latest a line may be")

	var rejected stream.Stream[stream.DeadLetter[string]]
	lines := stream.From(env, "lines", file.Lines(input))
	clicks := stream.Apply(lines, "parse", parser, stream.DeadLetters(&rejected))
	timed := stream.Watermarks(clicks, "times", func(c Click) time.Time { return c.At }, late)
	visits := stream.Process(stream.KeyBy(timed, user), "visits", sessions(gap))
	stream.To(visits, "output", file.CSV[Visit](output))
	stream.To(rejected, "rejected", file.JSONLines[stream.DeadLetter[string]](output+"/rejected"))
}

func duration(env *stream.Env, name, otherwise, usage string) time.Duration {
	text := env.ArgOr(name, otherwise, usage)
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		env.Errorf("--%s %q: expected a time such as 90s or 30m", name, text)
	}
	return d
}

func parser(*stream.Context) (func(line string, emit func(Click)) error, error) {
	return func(line string, emit func(Click)) error {
		at, user, found := strings.Cut(line, " ")
		if !found {
			return fmt.Errorf("%q: expected a time, a blank and a user", line)
		}
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return err
		}
		emit(Click{t, strings.Clone(user)}) // it is kept as a key: not the whole line with it
		return nil
	}, nil
}

func user(c Click) string { return c.User }

// sessions gathers the clicks of a user that are less than gap apart. Clicks come in no particular order, as
// late as the watermark allows: those that wait are a list, and a visit is told once event time is
// gap beyond its last click.
func sessions(gap time.Duration) func(op *stream.Operator[string, Visit]) func(Click) error {
	return func(op *stream.Operator[string, Visit]) func(Click) error {
		visits := stream.NewValue[[]Visit](op, "visits") // apart by more than gap, in order
		op.OnEventTimer(func(now time.Time) error {
			open, _ := visits.Get()
			for len(open) > 0 && !open[0].To.Add(gap).After(now) {
				op.Emit(open[0])
				open = open[1:]
			}
			if len(open) == 0 {
				visits.Clear()
			} else {
				visits.Set(open)
			}
			return nil
		})
		return func(c Click) error {
			open, _ := visits.Get()
			open = add(open, Visit{User: op.Key(), From: c.At, To: c.At, Clicks: 1}, gap)
			visits.Set(open)
			for _, v := range open {
				op.SetEventTimer(v.To.Add(gap))
			}
			return nil
		}
	}
}

// add puts v where it belongs, one with its neighbours that are less than gap away.
func add(visits []Visit, v Visit, gap time.Duration) []Visit {
	merged := make([]Visit, 0, len(visits)+1)
	placed := false
	for _, w := range visits {
		switch {
		case w.To.Add(gap).Before(v.From) || w.To.Add(gap).Equal(v.From):
			merged = append(merged, w)
		case v.To.Add(gap).After(w.From):
			v = union(v, w)
		default:
			if !placed {
				merged, placed = append(merged, v), true
			}
			merged = append(merged, w)
		}
	}
	if !placed {
		merged = append(merged, v)
	}
	return merged
}

func union(a, b Visit) Visit {
	if b.From.Before(a.From) {
		a.From = b.From
	}
	if b.To.After(a.To) {
		a.To = b.To
	}
	a.Clicks += b.Clicks
	return a
}
