package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// ErrTransactionLost says that a prepared transaction can never be committed: its records are lost.
var ErrTransactionLost = errors.New("a prepared transaction is lost")

// Waits between two tries of a commit.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// maxPrepared is how many transactions of one subtask may wait for their commit before the job fails:
// the system that is to commit them has then been away for as many checkpoints.
const maxPrepared = 1000

// committer commits prepared transactions, in the order in which they were prepared, each once a completed
// checkpoint names it. It does so in a goroutine of its own, so that records do not wait for it, and
// repeats what fails: only the end of the subtask, or ErrTransactionLost, keeps it from that.
type committer struct {
	ctx       *Context
	cancel    context.CancelFunc
	completed *completion
	commit    func(context.Context, Committable) error
	wake      chan struct{} // a token: there may be something to commit
	over      chan struct{} // closed: the goroutine has ended

	mu      sync.Mutex
	told    chan struct{} // closed, and made anew: something was committed, or never will be
	pending []pending     // the oldest first
	failure error         // of the commit that is being tried, or why there will be none
	fatal   bool
}

// pending is a prepared transaction.
type pending struct {
	since       job.CheckpointID // the first that names it
	committable Committable
}

func newCommitter(ctx *Context, completed *completion, commit func(context.Context, Committable) error) *committer {
	end, cancel := context.WithCancel(ctx)
	c := &committer{
		ctx: ctx.With(end), cancel: cancel, completed: completed, commit: commit,
		wake: make(chan struct{}, 1), told: make(chan struct{}), over: make(chan struct{}),
	}
	completed.listen(c.wake)
	go c.run()
	return c
}

// add takes over a prepared transaction.
func (c *committer) add(since job.CheckpointID, committable Committable) {
	c.mu.Lock()
	c.pending = append(c.pending, pending{since, committable})
	c.mu.Unlock()
	signal(c.wake)
}

// waiting returns what is not known to be committed.
func (c *committer) waiting() []Committable {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Committable
	for _, p := range c.pending {
		list = append(list, p.committable)
	}
	return list
}

var errUnanswered = errors.New("a commit was not answered")

// trouble returns why no more transactions are to be prepared, or nil.
func (c *committer) trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.fatal:
		return c.failure
	case len(c.pending) >= maxPrepared:
		return fmt.Errorf("%d transactions wait for their commit, more than that are not begun: %w", len(c.pending), cmp.Or(c.failure, errUnanswered))
	}
	return nil
}

// settle waits until all is committed.
func (c *committer) settle() error { return c.upTo(math.MaxUint64) }

// upTo waits until all is committed that checkpoints up to id name.
func (c *committer) upTo(id job.CheckpointID) error {
	for {
		c.mu.Lock()
		done, told, fatal, failure := len(c.pending) == 0 || c.pending[0].since > id, c.told, c.fatal, c.failure
		c.mu.Unlock()
		switch {
		case done:
			return nil
		case fatal:
			return failure
		}
		select {
		case <-told:
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}

// stop ends the goroutine. What is not committed by then, whoever continues from the checkpoint commits.
func (c *committer) stop() {
	c.cancel()
	<-c.over
}

func (c *committer) run() {
	defer close(c.over)
	for wait := firstRetry; c.ctx.Err() == nil; {
		p, ok := c.due()
		if !ok {
			select {
			case <-c.wake:
			case <-c.ctx.Done():
			}
			continue
		}
		err := c.try(p)
		if err == nil {
			c.drop()
			wait = firstRetry
			continue
		}
		if c.fail(p, err) {
			return
		}
		c.pause(wait)
		wait = min(2*wait, lastRetry)
	}
}

// due returns the oldest transaction, if a completed checkpoint names it.
func (c *committer) due() (p pending, ok bool) {
	completed := c.completed.newest()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 || c.pending[0].since > completed {
		return p, false
	}
	return c.pending[0], true
}

// try calls the writer. User code that ends its goroutine ends this one, and then has failed.
func (c *committer) try(p pending) (err error) {
	Guarded(func() error { return c.commit(c.ctx, p.committable) }, func(e error) {
		if err = e; errors.Is(e, ErrGoexit) {
			c.fail(p, e)
		}
	})
	return err
}

// drop forgets the oldest transaction, which is committed.
func (c *committer) drop() {
	c.mu.Lock()
	c.pending = slices.Delete(c.pending, 0, 1)
	c.failure = nil
	c.tell()
	c.mu.Unlock()
}

// tell wakes those that wait for commits.
func (c *committer) tell() {
	close(c.told)
	c.told = make(chan struct{})
}

// fail notes why a commit failed, and reports whether to try it again is of no use.
func (c *committer) fail(p pending, err error) bool {
	if c.ctx.Err() != nil {
		return true // the attempt is given up, which may be the error
	}
	_, panicked := errors.AsType[*PanicError](err)
	fatal := panicked || errors.Is(err, ErrTransactionLost) || errors.Is(err, ErrGoexit)
	c.mu.Lock()
	c.failure, c.fatal = fmt.Errorf("commit: %w", err), fatal
	if fatal {
		c.tell()
	}
	c.mu.Unlock()
	if !fatal {
		c.ctx.Logger().Warn("a commit failed; it is tried again", "bytes", len(p.committable), "error", err)
	}
	return fatal
}

func (c *committer) pause(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
}
