package connectortest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/perennial-io/perennial/connector"
)

func (b *bench[T]) invisibleUntilCommitted() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	if err := errors.Join(w.write(1, 2), w.Flush(), b.sees("after Flush")); err != nil {
		return err
	}
	c, err := w.prepare(3)
	if err := errors.Join(err, b.sees("after Prepare")); err != nil {
		return err
	}
	if err := errors.Join(w.commit(c), b.sees("after Commit", 1, 2, 3)); err != nil {
		return err
	}
	// What follows is another transaction.
	d, err := w.prepare(4)
	return errors.Join(err, b.sees("after the next Prepare", 1, 2, 3), w.commit(d), b.sees("after the next Commit", 1, 2, 3, 4))
}

func (b *bench[T]) nothingWritten() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	if err := errors.Join(w.Write(nil), w.Flush()); err != nil {
		return err
	}
	for range 2 {
		c, err := w.prepare()
		if err := errors.Join(err, w.commit(c), b.sees("after nothing was written")); err != nil {
			return err
		}
	}
	return errors.Join(w.Abort(), w.Close())
}

func (b *bench[T]) committedAgain() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	c, err := w.prepare(1, 2)
	if err := errors.Join(err, w.commit(c, c)); err != nil {
		return err
	}
	next, err := b.begin(place{attempt: 2}, c)
	if err != nil {
		return err
	}
	d, err := next.prepare(3)
	return errors.Join(err, next.commit(c, d, c), w.commit(c), b.sees("after it was committed again and again", 1, 2, 3))
}

func (b *bench[T]) committedByTwoAtOnce() error {
	var all []int
	for i := range 10 {
		attempt := 1 + 2*i
		w, err := b.begin(place{attempt: attempt})
		if err != nil {
			return err
		}
		c, err := w.prepare(i)
		if err != nil {
			return err
		}
		next, err := b.begin(place{attempt: attempt + 1}, c)
		if err != nil {
			return err
		}
		all = append(all, i)
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { errs[0] = w.commit(c) }) // a zombie, which was told
		wg.Go(func() { errs[1] = next.commit(c) })
		wg.Wait()
		if err := errors.Join(errs[0], errs[1], b.sees("after both", all...)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench[T]) committedByTheNextAttempt() error {
	w, err := b.begin(place{parallelism: 2, subtask: 1})
	if err != nil {
		return err
	}
	c, err := w.prepare(1)
	if err != nil {
		return err
	}
	d, err := w.prepare(2) // an aborted checkpoint, named again by the next
	if err != nil {
		return err
	}
	if err := w.write(3); err != nil { // and then it dies
		return err
	}
	next, err := b.begin(place{attempt: 2}, c, d) // whichever has its place
	if err != nil {
		return err
	}
	return errors.Join(b.sees("after Recover"), next.commit(c, d), b.sees("after the next attempt's Commit", 1, 2))
}

func (b *bench[T]) recoverRollsBack() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	if _, err := w.prepare(1); err != nil {
		return err
	}
	if err := errors.Join(w.write(2), w.Flush()); err != nil {
		return err
	}
	next, err := b.begin(place{attempt: 2})
	if err != nil {
		return err
	}
	c, err := next.prepare(1, 2) // the same records again
	return errors.Join(err, next.commit(c), b.sees("after all was written again", 1, 2))
}

// recoverLeavesOthers: what another job, operator or subtask, or a later attempt, has begun is not touched.
func (b *bench[T]) recoverLeavesOthers() error {
	others := []place{
		{job: "ffffffffffffffffffffffffffffffff", parallelism: 2}, {operator: "another", parallelism: 2},
		{subtask: 1, parallelism: 2}, {attempt: 3, parallelism: 2},
	}
	var writers []*writer[T]
	var prepared []connector.Committable
	for i, p := range others {
		w, err := b.begin(p)
		if err != nil {
			return err
		}
		c, err := w.prepare(i)
		if err == nil {
			err = errors.Join(w.write(100+i), w.Flush())
		}
		if err != nil {
			return err
		}
		writers, prepared = append(writers, w), append(prepared, c)
	}
	if _, err := b.begin(place{attempt: 2, parallelism: 2}); err != nil {
		return err
	}
	var all []int
	for i, w := range writers {
		c, err := w.prepare() // what was open
		if err := errors.Join(err, w.commit(prepared[i], c)); err != nil {
			return fmt.Errorf("a transaction of %+v, after another's Recover: %w", others[i], err)
		}
		all = append(all, i, 100+i)
	}
	return b.sees("after all of the others' were committed", all...)
}

func (b *bench[T]) recoverAfterRescaling() error {
	var named connector.Committable
	for i := range 3 {
		w, err := b.begin(place{subtask: i, parallelism: 3})
		if err != nil {
			return err
		}
		if named, err = w.prepare(i); err != nil {
			return err
		}
	}
	// Subtask 0 of two has the places of 0 and 2. That of 2 is named.
	first, err := b.begin(place{subtask: 0, parallelism: 2, attempt: 2}, named)
	if err != nil {
		return err
	}
	second, err := b.begin(place{subtask: 1, parallelism: 2, attempt: 2}, named)
	if err != nil {
		return err
	}
	c, err := first.prepare(0)
	if err != nil {
		return err
	}
	d, err := second.prepare(1)
	return errors.Join(err, first.commit(named, c), second.commit(d), b.sees("with another parallelism", 0, 1, 2))
}

// recoverStopsAZombie: an attempt that was given up may run on. Whatever becomes of its calls, nobody commits what it
// prepares.
func (b *bench[T]) recoverStopsAZombie() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	if err := w.write(1); err != nil {
		return err
	}
	next, err := b.begin(place{attempt: 2})
	if err != nil {
		return err
	}
	_, _ = w.prepare(2) // an error says that it was cut off
	if err := w.write(3); err == nil {
		_, _ = w.Prepare()
	}
	c, err := next.prepare(1)
	if err := errors.Join(err, next.commit(c), b.sees("beside a zombie", 1)); err != nil {
		return err
	}
	_, err = b.begin(place{attempt: 3}, c)
	return errors.Join(err, b.sees("after one more attempt", 1))
}

func (b *bench[T]) abortKeepsWhatIsPrepared() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	c, err := w.prepare(1)
	if err := errors.Join(err, w.write(2), w.Abort(), b.sees("after Abort"), w.commit(c), b.sees("after Commit", 1), w.Close()); err != nil {
		return err
	}
	_, err = b.begin(place{attempt: 2}, c)
	return errors.Join(err, b.sees("after the next attempt's Recover", 1))
}

func (b *bench[T]) closeKeepsWhatIsPrepared() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	c, err := w.prepare(1)
	if err := errors.Join(err, w.Close(), b.sees("after Close")); err != nil {
		return err
	}
	next, err := b.begin(place{attempt: 2}, c)
	if err != nil {
		return err
	}
	return errors.Join(next.commit(c), b.sees("after Commit", 1))
}

func (b *bench[T]) lostIsSaid() error {
	if b.Forgets {
		return nil
	}
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	c, err := w.prepare(1)
	if err != nil {
		return err
	}
	next, err := b.begin(place{attempt: 2}) // rolls it back
	if err != nil {
		return err
	}
	switch err := next.Commit(context.Background(), c); {
	case err == nil:
		return errors.New("Commit of what was rolled back = nil, want ErrTransactionLost: its records are lost unheard")
	case !errors.Is(err, connector.ErrTransactionLost):
		return fmt.Errorf("Commit of what was rolled back, want ErrTransactionLost: %w", err)
	}
	return b.sees("after a Commit of what was rolled back")
}

func (b *bench[T]) keepsNoSlice() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	batch := []T{b.Record(1), b.Record(2)}
	if err := w.Write(batch); err != nil {
		return fmt.Errorf("Write: %w", err)
	}
	batch[0], batch[1] = b.Record(3), b.Record(4)
	c, err := w.prepare()
	return errors.Join(err, w.commit(c), b.sees("after the slice was used again", 1, 2))
}

func (b *bench[T]) commitBesideWrite() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	const transactions, each = 20, 10
	prepared := make(chan connector.Committable, transactions)
	var committing error
	var wg sync.WaitGroup
	wg.Go(func() {
		for c := range prepared {
			committing = errors.Join(committing, w.commit(c))
		}
	})
	var all []int
	for i := range transactions * each {
		all = append(all, i)
		err = errors.Join(err, w.write(i))
		if i%each == each-1 {
			c, e := w.prepare()
			err = errors.Join(err, e)
			prepared <- c
		}
	}
	close(prepared)
	wg.Wait()
	return errors.Join(err, committing, b.sees("after all", all...))
}

func (b *bench[T]) strangeCommittable() error {
	w, err := b.begin(place{})
	if err != nil {
		return err
	}
	for _, c := range []string{"x", "\x00\xff", "../../etc/passwd"} {
		if err := w.Commit(context.Background(), connector.Committable(c)); err == nil && !b.Forgets {
			return fmt.Errorf("Commit(%q) = nil, want an error", c)
		}
	}
	return b.sees("after strange commits")
}
