package diagnose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/inspect"
)

// followEvery is how often a log is asked for what is new.
const followEvery = 300 * time.Millisecond

// Log is one log that can be read.
type Log struct {
	Title string // unlike those of others
	// Attempt: it is of one attempt, and shown from its beginning if it comes while others are followed. Of a process's log,
	// which may be there for months when its JobManager begins to lead, the last lines are.
	Attempt bool
	Ask     func(context.Context, inspect.Question) (inspect.Piece, error)
}

// Reading is how logs are read.
type Reading struct {
	// Find lists the logs, and what is wrong although there are some. Following, it is asked again, as a job that restarts has new ones.
	Find   func(context.Context) ([]Log, error)
	Lines  int // the last so many lines of each; negative: all of it
	Follow bool
	// Trouble is told when something that is followed cannot be read, once for each reason. What is wrong may pass.
	Trouble func(title string, err error)
}

// Run writes logs to w, each under its title if there are several, until all is read or, following, ctx ends, which is no
// error then. It begins if there is anything to read; without Follow, what could not be read is its error in the end.
func (r Reading) Run(ctx context.Context, w io.Writer) error {
	p := printer{w: w, next: map[string]int64{}, late: map[string]bool{}, told: map[string]string{}}
	var before []Log
	for first := true; ; first = false {
		logs, err := r.Find(ctx)
		if ctx.Err() != nil && r.Follow {
			return nil
		}
		if err != nil && len(logs) == 0 && (first || !r.Follow) {
			return err
		}
		problems := []error{err}
		r.trouble(&p, "", err)
		p.several = p.several || len(logs) > 1
		read := 0
		for _, l := range slices.Concat(gone(before, logs), logs) {
			switch err := r.copy(ctx, &p, l, first); {
			case ctx.Err() != nil && r.Follow:
				return nil
			case p.broken:
				return err
			case err != nil:
				p.late[l.Title] = first
				problems = append(problems, fmt.Errorf("%s: %w", l.Title, err))
				r.trouble(&p, l.Title, err)
			default:
				read++
			}
		}
		if err := errors.Join(problems...); !r.Follow || first && read == 0 {
			return err
		}
		if len(logs) > 0 {
			before = logs
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// gone are the logs that are listed no more. What was written to them last is read once again: it may say why.
func gone(before, now []Log) (list []Log) {
	if len(now) == 0 { // nobody has answered
		return nil
	}
	for _, l := range before {
		if !slices.ContainsFunc(now, func(n Log) bool { return n.Title == l.Title }) {
			list = append(list, l)
		}
	}
	return list
}

func (r Reading) trouble(p *printer, title string, err error) {
	if err != nil && r.Follow && r.Trouble != nil && p.told[title] != err.Error() {
		p.told[title] = err.Error()
		r.Trouble(title, err)
	}
}

// copy prints what is new of a log.
func (r Reading) copy(ctx context.Context, p *printer, l Log, first bool) error {
	q := inspect.Question{Offset: -1, Lines: r.Lines}
	if next, known := p.next[l.Title]; known || !first && l.Attempt && !p.late[l.Title] || r.Lines < 0 {
		q = inspect.Question{Offset: next}
	}
	for {
		piece, err := l.Ask(ctx, q)
		if err != nil {
			return err
		}
		if q.Offset > 0 && piece.Offset < q.Offset {
			r.trouble(p, l.Title, fmt.Errorf("it has begun anew, and is shown from its beginning; what was written last to the one before, after %d bytes, is not shown", q.Offset))
		}
		if err := p.print(l.Title, piece.Data); err != nil {
			return err
		}
		q = inspect.Question{Offset: piece.Next()}
		p.next[l.Title] = q.Offset
		if len(piece.Data) == 0 || q.Offset >= piece.Size {
			return nil
		}
	}
}

// printer writes pieces, and says whose they are where that changes.
type printer struct {
	w       io.Writer
	several bool
	broken  bool             // nobody reads what is written
	last    string           // title of what was written last
	midLine bool             // it did not end with a line
	next    map[string]int64 // by title
	late    map[string]bool  // could not be read in the first round: its end is read, too
	told    map[string]string
}

func (p *printer) print(title string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var head string
	if p.several && p.last != title {
		if p.midLine {
			head = "\n"
		}
		if p.last != "" {
			head += "\n"
		}
		head += "==> " + title + " <==\n"
	}
	p.last, p.midLine = title, data[len(data)-1] != '\n'
	_, err := p.w.Write(append([]byte(head), data...))
	p.broken = err != nil
	return err
}
