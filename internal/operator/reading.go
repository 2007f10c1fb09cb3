package operator

import (
	"context"
	"errors"
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
	d := &reading[S, T]{
		Reading: r, w: w, out: out, buf: make([]T, size), pace: newPace(r.Rate, size),
		splits: splitQueue[S]{w: w, ends: 1},
	}
	if gate != nil {
		d.splits = splitQueue[S]{w: w, items: gate.Items()}
	}
	if d.codec, d.err = record.CodecOf[left[S]](); d.err == nil {
		d.splits.kept, d.err = d.restore(gate != nil)
	}
	w.Remember(r.Name, d)
	return d
}

type reading[S, T any] struct {
	Reading[S, T]
	w      *Wiring
	out    Receiver[T]
	buf    []T
	splits splitQueue[S]
	open   []*opened[S, T]
	behind int // of open, those that have records to drop
	turn   int // which of open is read next
	pace   pace
	codec  *record.Codec[left[S]]
	err    error // of what was restored
}

// opened is a split that is being read.
type opened[S, T any] struct {
	Reader[T]
	split S
	taken uint64 // of its records; for a reader that cannot tell what remains
	drop  uint64 // so many are still to be dropped: they were handed out before a checkpoint
}

func (r *reading[S, T]) Step() (Outcome, error) {
	r.w.Enter(r.Name)
	r.pace.early = false
	if r.err != nil {
		return Worked, r.err
	}
	if err := r.checkpoint(); err != nil {
		return Worked, err
	}
	switch {
	case r.w.silent():
		return Waiting, nil
	case r.w.inputEnds():
		return r.endInput()
	}
	if err := r.openMore(); err != nil {
		return Worked, err
	}
	r.w.holdBack(r.behind > 0)
	if r.splits.barrierCame() { // the next step takes the checkpoint
		return Worked, nil
	}
	if len(r.open) == 0 {
		if r.splits.ended() {
			return Done, r.out.End()
		}
		return Waiting, nil
	}
	if r.behind > 0 {
		if worked, err := r.catchUp(); worked || err != nil {
			return Worked, err
		}
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
		reader, err := r.Open(s.Split)
		if err != nil {
			return err
		}
		r.open = append(r.open, &opened[S, T]{Reader: reader, split: s.Split, taken: s.Skip, drop: s.Skip})
		if s.Skip > 0 {
			r.behind++
		}
	}
	return nil
}

// read asks the readers in turn until one has something.
func (r *reading[S, T]) read(dst []T) (Outcome, error) {
	for range len(r.open) {
		r.turn = (r.turn + 1) % len(r.open)
		o := r.open[r.turn]
		if o.drop > 0 {
			continue
		}
		n, err := o.Next(dst)
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
			o.taken += uint64(n)
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
// to wait anyhow, what announces a checkpoint, and wake. There is nothing per record here, so it may reflect.
func (r *reading[S, T]) Wait(ctx context.Context, wake <-chan time.Time) {
	cases := []reflect.SelectCase{receive(ctx.Done()), receive(wake), receive(r.w.Wake())}
	silent, ending := r.w.silent(), r.w.inputEnds()
	if !silent && (len(r.open) == 0 || !r.Bounded || r.w.Announced() != 0 || ending) {
		cases = append(cases, receive(r.splits.items))
	}
	if !silent && !ending && r.WakeAt().IsZero() { // else they would wake it before its turn
		for _, o := range r.open {
			if ready := o.Ready(); ready != nil {
				cases = append(cases, receive(ready))
			}
		}
	}
	chosen, got, ok := reflect.Select(cases)
	if !ok || chosen < 3 {
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
	if len(r.open) == 0 { // the final state may be looked at meanwhile
		return nil
	}
	var errs []error
	for _, o := range r.open {
		errs = append(errs, o.Close())
	}
	r.open = nil
	return errors.Join(errs...)
}
