package connector

import (
	"fmt"
	"math"
	"time"
)

// Throttle returns source slowed to perSecond records a second, over all subtasks together:
// each reads at its share of the rate. 0 means as fast as it goes.
//
// The rate is an upper bound. After a wait for a slow consumer a reader catches up on at most a
// second; a subtask that has nothing more to read leaves its share unused.
func Throttle[T any](source Source[T], perSecond float64) Source[T] {
	if perSecond == 0 {
		return source
	}
	return throttled[T]{Source: source, perSecond: perSecond}
}

type throttled[T any] struct {
	Source[T]
	perSecond float64
}

// Check reports a rate that is none, and what the source itself has to say.
func (t throttled[T]) Check(ctx *Context) error {
	if !(t.perSecond > 0) || math.IsInf(t.perSecond, 0) {
		return fmt.Errorf("rate of %v records a second: expected a positive number, or 0 for no limit", t.perSecond)
	}
	if c, ok := t.Source.(Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// Open begins a pace of its own for each split.
func (t throttled[T]) Open(ctx *Context, s Split) (Reader[T], error) {
	r, err := t.Source.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	share := t.perSecond / float64(ctx.Parallelism())
	return &throttledReader[T]{
		Reader: r,
		pace:   pace{perSecond: share, last: time.Now()},
		ready:  make(chan struct{}, 1),
	}, nil
}

// catchUp is the longest delay that a reader makes up for.
const catchUp = time.Second

// tick is the time that a reader sleeps for, unless a single record takes longer to be due:
// waking up for each of a million records a second would cost more than reading them.
const tick = 10 * time.Millisecond

// pace grants a steady number of records a second.
type pace struct {
	perSecond float64
	last      time.Time // when granted was brought up to date
	granted   float64   // and not yet taken
}

// due returns how many records may be taken now; if none, how long to wait before asking again.
func (p *pace) due(now time.Time) (n int, wait time.Duration) {
	portion := max(1, p.perSecond*tick.Seconds())
	most := max(portion, p.perSecond*catchUp.Seconds())
	p.granted = min(most, p.granted+now.Sub(p.last).Seconds()*p.perSecond)
	p.last = now
	if missing := portion - p.granted; missing > 0 {
		return 0, time.Duration(math.Ceil(missing / p.perSecond * float64(time.Second)))
	}
	return int(p.granted), 0
}

func (p *pace) take(n int) { p.granted -= float64(n) }

// throttledReader asks the reader below it for no more than is due. It has no goroutine: a timer
// writes to ready, which has room for the one value that can be on its way.
type throttledReader[T any] struct {
	Reader[T]
	pace  pace
	due   int // of the portion granted last, not yet read
	held  bool
	timer *time.Timer
	ready chan struct{}
}

func (r *throttledReader[T]) Next(dst []T) (int, error) {
	if r.due == 0 {
		n, wait := r.pace.due(time.Now())
		if r.held = n == 0; r.held {
			r.wakeIn(wait)
			return 0, nil
		}
		r.due = n
	}
	n, err := r.Reader.Next(dst[:min(r.due, len(dst))])
	r.due -= n
	r.pace.take(n)
	return n, err
}

func (r *throttledReader[T]) wakeIn(wait time.Duration) {
	if r.timer != nil {
		r.timer.Reset(wait)
		return
	}
	r.timer = time.AfterFunc(wait, func() {
		select {
		case r.ready <- struct{}{}:
		default:
		}
	})
}

// Ready is the pace's channel if that held Next back, else the reader's own.
func (r *throttledReader[T]) Ready() <-chan struct{} {
	if r.held {
		return r.ready
	}
	return r.Reader.Ready()
}

func (r *throttledReader[T]) Close() error {
	if r.timer != nil {
		r.timer.Stop()
	}
	return r.Reader.Close()
}
