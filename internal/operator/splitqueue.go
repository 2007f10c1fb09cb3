package operator

import (
	"fmt"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
	"github.com/perennial-io/perennial/internal/shuffle"
)

// splitQueue takes splits out of a gate one at a time, and holds an item, and so its credit,
// until all of its splits were taken: splits go to the subtask that has time for them. Only while a
// checkpoint is announced does it take what comes, so that the barrier behind it can come too.
type splitQueue[S any] struct {
	w       *Wiring
	kept    []left[S]              // were restored, or taken early
	items   <-chan shuffle.Item[S] // nil: what is in kept is all
	item    *shuffle.Item[S]
	splits  []S // of item
	ends    int
	barrier job.CheckpointID // the newest that came
	err     error            // of an item taken
}

// ended reports whether no split is left and none will come. Splits come from one subtask.
func (q *splitQueue[S]) ended() bool { return q.ends > 0 && len(q.kept) == 0 && len(q.splits) == 0 }

// barrierCame reports whether the next split, if there is one, belongs behind a checkpoint that is
// still to be taken.
func (q *splitQueue[S]) barrierCame() bool { return q.barrier > q.w.Taken() }

func (q *splitQueue[S]) next() (s left[S], ok bool, err error) {
	for len(q.kept) == 0 && len(q.splits) == 0 {
		if !q.poll() {
			return s, false, q.err
		}
	}
	if len(q.kept) > 0 {
		s, q.kept = q.kept[0], q.kept[1:]
		return s, true, q.err
	}
	s.Split, q.splits = q.splits[0], q.splits[1:]
	if len(q.splits) == 0 {
		q.release()
	}
	return s, true, q.err
}

// poll takes an item if there is one that may be taken.
func (q *splitQueue[S]) poll() bool {
	if q.ends > 0 || q.err != nil || q.barrierCame() {
		return false
	}
	select {
	case it := <-q.items:
		q.take(it)
		return true
	default:
		return false
	}
}

// take makes it the item in hand.
func (q *splitQueue[S]) take(it shuffle.Item[S]) {
	q.keep() // taking the records of one item may overwrite those of another
	switch e := it.Event(); e.Kind {
	case record.NoEvent:
		q.splits, q.err = it.Records()
		q.item = &it
	case record.Barrier, record.StopBarrier:
		it.Release()
		q.w.heard(e)
		q.barrier = max(q.barrier, job.CheckpointID(e.Value))
	case record.End:
		it.Release()
		q.ends++
	default:
		q.err = fmt.Errorf("unexpected %v among splits", e)
	}
}

// keep moves the splits of the item in hand to where they take no credit.
func (q *splitQueue[S]) keep() {
	for _, s := range q.splits {
		q.kept = append(q.kept, left[S]{Split: s})
	}
	q.splits = nil
	q.release()
}

func (q *splitQueue[S]) release() {
	if q.item != nil {
		q.item.Release()
		q.item = nil
	}
}

// takeAll takes all that there is, up to a barrier or the end.
func (q *splitQueue[S]) takeAll() {
	q.keep()
	for q.poll() {
		q.keep()
	}
}
