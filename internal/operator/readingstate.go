package operator

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/state"
)

// resumable is connector.Resumable, of whatever type splits have.
type resumable[S any] interface{ Remaining() S }

// sourceState is the name of the state of whatever reads or lists splits.
const sourceState = "splits"

// left is a split that is to be read, but for so many records at its beginning. The state of a
// reading is a list of them.
type left[S any] struct {
	Split S
	Skip  uint64
}

// checkpoint takes a checkpoint that is to be taken here: its barrier has come with the splits,
// or no splits come any more and it was announced.
func (r *reading[S, T]) checkpoint() error {
	id := r.w.Announced()
	if id != 0 {
		r.splits.takeAll()
	}
	switch {
	case r.splits.barrierCame():
		id = r.splits.barrier
	case id == 0 || r.splits.ends == 0:
		return r.splits.err
	}
	err := r.w.Checkpoint(id, r.out.Event)
	if err == nil {
		r.w.Enter(r.Name)
	}
	return err
}

// Snapshot returns what is left to be read.
func (r *reading[S, T]) Snapshot() ([]state.Snapshot, error) {
	kind := job.SplitsState
	if r.splits.items == nil {
		kind = job.PositionState
	}
	s, err := state.Small(sourceState, kind, r.codec, r.left())
	return []state.Snapshot{s}, err
}

func (r *reading[S, T]) left() []left[S] {
	lefts := make([]left[S], 0, len(r.open)+len(r.splits.kept)+len(r.splits.splits))
	for _, o := range r.open {
		if reader, ok := o.Reader.(resumable[S]); ok {
			lefts = append(lefts, left[S]{reader.Remaining(), o.drop})
		} else {
			lefts = append(lefts, left[S]{o.split, o.taken})
		}
	}
	lefts = append(lefts, r.splits.kept...)
	for _, s := range r.splits.splits {
		lefts = append(lefts, left[S]{Split: s})
	}
	return lefts
}

// endInput ends a reading whose input is to be taken for ended, once all splits that were handed on are
// here. What is left of them stays its state.
func (r *reading[S, T]) endInput() (Outcome, error) {
	r.splits.takeAll()
	switch {
	case r.splits.err != nil:
		return Worked, r.splits.err
	case r.splits.barrierCame(): // the next step takes the checkpoint
		return Worked, nil
	case r.splits.ends == 0:
		return Waiting, nil
	}
	r.splits.kept = r.left()
	if err := r.Close(); err != nil {
		return Worked, err
	}
	return Done, r.out.End()
}

// restore returns what this subtask begins with. Splits that come from an enumerator are shared
// out anew; one without an enumerator belongs to a subtask, and so does its state.
func (r *reading[S, T]) restore(shared bool) ([]left[S], error) {
	ctx := r.w.Context(r.Name)
	states := slices.SortedFunc(slices.Values(r.w.Restored(r.Name, sourceState)), func(a, b Restored) int {
		return cmp.Compare(a.Subtask, b.Subtask)
	})
	var mine []left[S]
	known, i := false, 0
	for _, piece := range states {
		known = known || piece.Subtask == ctx.Subtask()
		err := state.ReadPiece(piece, r.codec, func(values []left[S]) error {
			for _, v := range values {
				if shared && i%ctx.Parallelism() == ctx.Subtask() || !shared && piece.Subtask == ctx.Subtask() {
					mine = append(mine, v)
				}
				i++
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("the state of operator %q, written by its subtask %d: %w", r.Name, piece.Subtask, err)
		}
	}
	if !shared && !known {
		mine = make([]left[S], 1)
	}
	return mine, nil
}

// catchUp drops what was handed out before the checkpoint, without regard to the pace. It reports
// whether a reader had something.
func (r *reading[S, T]) catchUp() (worked bool, err error) {
	for i := 0; i < len(r.open); i++ {
		o := r.open[i]
		if o.drop == 0 {
			continue
		}
		n, err := o.Next(r.buf[:min(uint64(len(r.buf)), o.drop)])
		if n > 0 {
			worked = true
			if o.drop -= uint64(n); o.drop == 0 {
				r.behind--
			}
		}
		switch {
		case errors.Is(err, io.EOF) && o.drop > 0:
			return worked, fmt.Errorf("the input has changed since the checkpoint: split %v has ended, %d records before the place that was reached",
				o.split, o.drop)
		case errors.Is(err, io.EOF):
			worked = true
			if err := r.close(i); err != nil {
				return worked, err
			}
			i--
		case err != nil:
			return worked, err
		}
	}
	return worked, nil
}
