package operator

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/perennial-io/perennial/internal/record"
)

// lister drives the subtask that names a source's splits. A function emits them in a goroutine of its own, as that of a
// FuncReader does, E at a time, and listed takes them from there.
type lister[E any] struct {
	w      *Wiring
	name   string
	emits  func(ctx context.Context, emit func(E)) error
	listed listed[E]
	out    interface { // a Receiver of splits
		Event(record.Event) error
		End() error
	}
	reader Reader[E] // of what is emitted; nil: not begun
	failed error     // what emits returned; the reader's end orders the accesses
	buf    [1]E
}

// listed is what has been named: what to do with more, and the state in checkpoints.
type listed[E any] interface {
	Stateful
	// unusable is why what was restored cannot be continued from, or nil.
	unusable() error
	// over reports whether there is nothing more to come.
	over() bool
	take(E) error
	// end says that there is nothing more to come.
	end() error
}

func (l *lister[E]) Step() (Outcome, error) {
	l.w.Enter(l.name)
	if err := l.listed.unusable(); err != nil {
		return Worked, err
	}
	if id := l.w.Announced(); id != 0 {
		if err := l.w.Checkpoint(id, l.out.Event); err != nil {
			return Worked, err
		}
		l.w.Enter(l.name)
	}
	switch {
	case l.w.silent():
		return Waiting, nil
	case l.listed.over(), l.w.inputEnds():
		return Done, l.out.End()
	}
	if l.reader == nil {
		l.reader = FuncReader(l.w.ctx, l.run)
	}
	n, err := l.reader.Next(l.buf[:])
	if n > 0 {
		if err := l.listed.take(l.buf[0]); err != nil {
			return Worked, err
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return l.end()
	case err != nil || n > 0:
		return Worked, err
	}
	return Waiting, nil
}

func (l *lister[E]) run(ctx context.Context, emit func(E)) error {
	l.failed = l.emits(ctx, emit)
	return l.failed
}

// end is reached when the function has returned nil, or an error that io.EOF is part of.
func (l *lister[E]) end() (Outcome, error) {
	if l.failed != nil {
		return Worked, l.failed
	}
	if err := l.listed.end(); err != nil {
		return Worked, err
	}
	return Done, l.out.End()
}

func (l *lister[E]) Wait(ctx context.Context, wake <-chan time.Time) {
	var ready <-chan struct{}
	if l.reader != nil && !l.w.silent() {
		ready = l.reader.Ready()
	}
	select {
	case <-ready:
	case <-l.w.Wake():
	case <-wake:
	case <-ctx.Done():
	}
}

func (l *lister[E]) WakeAt() time.Time { return time.Time{} }

func (l *lister[E]) Close() error {
	if l.reader == nil {
		return nil
	}
	return l.reader.Close()
}

// handOn sends splits at once, each to a reader that has time for it.
func handOn[S any](w *Wiring, out Receiver[S], splits ...S) error {
	w.In.Add(uint64(len(splits)))
	for i := range splits {
		if err := out.Batch(splits[i : i+1]); err != nil {
			return err
		}
	}
	for _, f := range w.Flushers() {
		if err := f.Flush(); err != nil {
			return err
		}
	}
	return nil
}
