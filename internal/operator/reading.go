package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// Reader reads one split; connector.Reader tells what each method promises.
type Reader[T any] interface {
	Next(dst []T) (n int, err error)
	Ready() <-chan struct{}
	Close() error
}

// Reading tells how the records of a source are read in one subtask.
type Reading[S, T any] struct {
	Name    string
	Open    func(split S) (Reader[T], error)
	Bounded bool    // read one split after the other; else all of them at once
	Rate    float64 // records per second of this subtask; 0: as fast as they come
}

// NewReading returns the driver that reads the splits that come in by gate, or, if gate is nil,
// the one split that is S's zero value.
func NewReading[S, T any](w *Wiring, r Reading[S, T], gate *shuffle.Gate[S], out Receiver[T]) Driver {
	size := record.BatchSize[T]()
	queue := splitQueue[S]{splits: make([]S, 1), ends: 1}
	if gate != nil {
		queue = splitQueue[S]{items: gate.Items()}
	}
	return &reading[S, T]{
		Reading: r, w: w, out: out, buf: make([]T, size), splits: queue, pace: newPace(r.Rate, size),
	}
}

type reading[S, T any] struct {
	Reading[S, T]
	w      *Wiring
	out    Receiver[T]
	buf    []T
	splits splitQueue[S]
	open   []Reader[T]
	turn   int // which of open is read next
	pace   pace
}

func (r *reading[S, T]) Step() (Outcome, error) {
	r.w.Enter(r.Name)
	r.pace.early = false
	if err := r.openMore(); err != nil {
		return Worked, err
	}
	if len(r.open) == 0 {
		if r.splits.ended() {
			return Done, r.out.End()
		}
		return Waiting, nil
	}
	limit := r.pace.allowance()
	if limit == 0 {
		return Waiting, nil
	}
	return r.read(r.buf[:limit])
}

// openMore opens a split if none is open; where splits may have no end, all that there are.
func (r *reading[S, T]) openMore() error {
	for len(r.open) == 0 || !r.Bounded {
		s, ok, err := r.splits.next()
		if err != nil || !ok {
			return err
		}
		reader, err := r.Open(s)
		if err != nil {
			return err
		}
		r.open = append(r.open, reader)
	}
	return nil
}

// read asks the readers in turn until one has something.
func (r *reading[S, T]) read(dst []T) (Outcome, error) {
	for range len(r.open) {
		r.turn = (r.turn + 1) % len(r.open)
		n, err := r.open[r.turn].Next(dst)
		done := errors.Is(err, io.EOF)
		if err != nil && !done {
			return Worked, err
		}
		if done {
			if err := r.close(r.turn); err != nil {
				return Worked, err
			}
		}
		if n > 0 {
			r.pace.spend(n)
			r.w.In.Add(uint64(n))
			return Worked, r.out.Batch(dst[:n])
		}
		if done {
			return Worked, nil
		}
	}
	return Waiting, nil
}

func (r *reading[S, T]) close(i int) error {
	reader := r.open[i]
	r.open = append(r.open[:i], r.open[i+1:]...)
	if i > 0 {
		r.turn = i - 1
	}
	if len(r.open) == 0 {
		r.turn = 0
	}
	return reader.Close()
}

// Wait listens to all that may bring work: the open readers, the gate unless a split would have
// to wait anyhow, and wake. There is nothing per record here, so it may reflect.
func (r *reading[S, T]) Wait(ctx context.Context, wake <-chan time.Time) {
	cases := []reflect.SelectCase{receive(ctx.Done()), receive(wake)}
	if len(r.open) == 0 || !r.Bounded {
		cases = append(cases, receive(r.splits.items))
	}
	if r.WakeAt().IsZero() { // else they would wake it before its turn
		for _, o := range r.open {
			if ready := o.Ready(); ready != nil {
				cases = append(cases, receive(ready))
			}
		}
	}
	chosen, got, ok := reflect.Select(cases)
	if !ok || chosen < 2 {
		return
	}
	if it, isItem := got.Interface().(shuffle.Item[S]); isItem {
		r.splits.take(it)
	}
}

func receive(channel any) reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(channel)}
}

func (r *reading[S, T]) WakeAt() time.Time { return r.pace.wakeAt() }

func (r *reading[S, T]) Close() error {
	var errs []error
	for _, o := range r.open {
		errs = append(errs, o.Close())
	}
	r.open = nil
	return errors.Join(errs...)
}

// splitQueue takes splits out of a gate one at a time, and holds an item, and so its credit,
// until all of its splits were taken: splits go to the subtask that has time for them.
type splitQueue[S any] struct {
	items  <-chan shuffle.Item[S] // nil: what is in splits is all
	item   *shuffle.Item[S]
	splits []S
	ends   int
	err    error // of an item taken
}

// ended reports whether no split is left and none will come. Splits come from one subtask.
func (q *splitQueue[S]) ended() bool { return q.ends > 0 && len(q.splits) == 0 }

func (q *splitQueue[S]) next() (s S, ok bool, err error) {
	for len(q.splits) == 0 {
		if q.ends > 0 || q.err != nil {
			return s, false, q.err
		}
		select {
		case it := <-q.items:
			q.take(it)
		default:
			return s, false, nil
		}
	}
	s, q.splits = q.splits[0], q.splits[1:]
	if len(q.splits) == 0 && q.item != nil {
		q.item.Release()
		q.item = nil
	}
	return s, true, nil
}

// take makes it the item in hand.
func (q *splitQueue[S]) take(it shuffle.Item[S]) {
	switch e := it.Event(); e.Kind {
	case record.NoEvent:
		q.splits, q.err = it.Records()
		q.item = &it
	case record.End:
		it.Release()
		q.ends++
	default:
		q.err = fmt.Errorf("unexpected %v among splits", e)
	}
}
