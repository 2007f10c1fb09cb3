package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/rpc"
)

// errEnded is the cause of a subtask's own context once the subtask has ended.
var errEnded = errors.New("the subtask has ended")

// uncommittableError is the cause of it when a transaction can never be committed: the subtask has failed, and was not cancelled.
type uncommittableError struct {
	operator string
	error
}

func (e uncommittableError) Unwrap() error { return e.error }

// subtask is one parallel instance of a vertex. Its goroutine owns it, but for the counters.
type subtask struct {
	x      *Execution
	id     job.Subtask
	head   *operator.Node
	inputs []operator.Input
	wiring *operator.Wiring
	ctx    context.Context // ends with the execution's, and when the subtask has ended
	cancel context.CancelCauseFunc

	driver  operator.Driver
	outputs []job.Output

	busy, blocked, idle atomic.Int64 // nanoseconds

	tenure tenure
	stood  time.Duration // still, without a lease; a part of idle

	wired   atomic.Bool
	uploads uploads
}

// run is the subtask's goroutine.
func (s *subtask) run() {
	operator.Guarded(s.work, func(err error) {
		cause := context.Cause(s.ctx) // before the end of the subtask itself adds to it
		if lost, is := errors.AsType[uncommittableError](cause); is {
			s.wiring.Enter(lost.operator)
			err, cause = lost, nil
		}
		err = s.close(err)
		s.cancel(errEnded)
		switch {
		case err == nil:
			s.report(rpc.SubtaskReport{State: job.Finished, Outputs: s.outputs}, nil)
			failpoint.TaskFinished.Reached()
		case cause != nil:
			s.report(rpc.SubtaskReport{State: job.Canceled}, cause)
		default:
			r := rpc.SubtaskReport{State: job.Failed, Failure: clip(err.Error())}
			if damaged, ok := errors.AsType[damagedError](err); ok {
				r.Damaged = damaged.checkpoint
			}
			s.report(r, err)
		}
	})
}

func (s *subtask) report(r rpc.SubtaskReport, err error) {
	r.Subtask = s.id
	s.x.report(r, err)
}

// maxFailure bounds the text of a failure, in bytes: it is to fit into a message.
const maxFailure = 32 << 10

func clip(text string) string {
	if len(text) <= maxFailure {
		return text
	}
	return strings.ToValidUTF8(text[:maxFailure], "") + " …"
}

// work wires the chain, moves its input through it to the end, finishes the sinks, and waits
// until the consumers have all of it, and transactions are committed: FINISHED means delivered, so that from then on
// nothing that this subtask made depends on its process.
func (s *subtask) work() (err error) {
	if err := s.restore(); err != nil {
		return err
	}
	if _, err := s.heed(time.Now()); err != nil { // what user code opens may be somebody else's by now
		return err
	}
	s.driver, err = s.head.Wire(s.wiring, s.inputs, func(e int) (any, error) { return s.x.outlet(s, e) })
	if err != nil {
		return err
	}
	s.wired.Store(true)
	s.report(rpc.SubtaskReport{State: job.Running}, nil)
	if err := s.loop(); err != nil {
		return err
	}
	for _, sink := range s.wiring.Sinks() {
		if _, err := s.heed(time.Now()); err != nil {
			return err
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
		outputs, err := sink.Finish()
		if err != nil {
			return err
		}
		for _, o := range outputs {
			s.outputs = append(s.outputs, o.Output)
		}
	}
	failpoint.TaskFinishes.Reached()
	s.uploads.end(s)
	if err := s.wiring.Drain(); err != nil {
		return err
	}
	return s.settle()
}

// settle waits for the sinks that commit their output themselves: once a checkpoint names it or, without checkpoints,
// once every subtask has come to its end.
func (s *subtask) settle() error {
	if s.x.left.Add(-1) == 0 {
		close(s.x.ended)
	}
	if !s.wiring.Settles() {
		return nil
	}
	if s.x.cfg.Checkpoints != nil {
		s.report(rpc.SubtaskReport{State: job.Running, Settling: true}, nil)
	} else {
		select {
		case <-s.x.ended:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
	for _, sink := range s.wiring.Sinks() {
		if err := sink.Settle(); err != nil {
			return err
		}
	}
	return nil
}

// loop steps the driver until the input has ended. In between it flushes what has grown old,
// and when there is nothing to do it waits for input until then. While the lease is over it does nothing at all: no batch, timer,
// barrier or flush is due before it is renewed. So it looks after a step too: that may have taken any time, as a process that was stopped.
func (s *subtask) loop() error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	mark, blocked, stood := time.Now(), time.Duration(0), s.stood // mark: until when the time is accounted for
	for s.ctx.Err() == nil {
		if _, err := s.heed(mark); err != nil {
			return err
		}
		outcome, err := s.driver.Step()
		if err != nil || outcome == operator.Done {
			return err
		}
		s.wiring.Waits(outcome == operator.Waiting)
		now, err := s.heed(time.Now())
		if err := cmp.Or(err, s.wiring.Refused()); err != nil {
			return err
		}
		still := s.stood - stood
		stood = s.stood
		wake, err := s.flush(now)
		if err != nil {
			return err
		}
		b := s.wiring.Blocked()
		s.busy.Add(int64(now.Sub(mark) - (b - blocked) - still))
		s.blocked.Store(int64(b))
		mark, blocked = now, b
		if outcome == operator.Waiting {
			s.wait(timer, wake, now)
			mark = time.Now()
			s.idle.Add(int64(mark.Sub(now) - (s.stood - stood)))
			stood = s.stood
		}
	}
	return context.Cause(s.ctx)
}

// heed has the subtask stand still if its lease is over, at now by Go's clock, and returns the time after that. It fails if the subtask
// is to end instead.
func (s *subtask) heed(now time.Time) (time.Time, error) {
	if !s.tenure.over(now) {
		return now, nil
	}
	s.tenure.await(s.ctx)
	later := time.Now()
	s.stood += later.Sub(now)
	s.idle.Add(int64(later.Sub(now)))
	return later, context.Cause(s.ctx)
}

// flush flushes what is due, and returns when the next is; zero if nothing is held.
func (s *subtask) flush(now time.Time) (next time.Time, err error) {
	for _, f := range s.wiring.Flushers() {
		due, held := f.Deadline()
		switch {
		case !held:
		case !due.After(now):
			if err := f.Flush(); err != nil {
				return next, err
			}
			next = now // it may be due again, and what it handed on may lie in one that was asked before it
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	return next, nil
}

// wait waits for input, until wake, if it is set, or until the driver has work again.
func (s *subtask) wait(timer *time.Timer, wake, now time.Time) {
	if at := s.driver.WakeAt(); wake.IsZero() || !at.IsZero() && at.Before(wake) {
		wake = at
	}
	if wake.IsZero() {
		s.driver.Wait(s.ctx, nil)
		return
	}
	timer.Reset(wake.Sub(now))
	s.driver.Wait(s.ctx, timer.C)
}

// close frees what the subtask holds after work returned err, and returns why the subtask did
// not finish, laid at the door of the operator that was at work.
func (s *subtask) close(err error) error {
	if err != nil {
		at := cmp.Or(s.wiring.Current(), s.head.Name) // while it restores none is at work
		err = fmt.Errorf("operator %q, subtask %d: %w", at, s.id.Index, err)
	}
	if s.driver != nil {
		if e := guarded(s.driver.Close); e != nil && err == nil {
			err = fmt.Errorf("operator %q, subtask %d: close: %w", s.head.Name, s.id.Index, e)
		}
	}
	if err != nil {
		s.abort()
	}
	for _, sink := range s.wiring.Sinks() {
		if err := guarded(sink.Close); err != nil {
			s.x.cfg.Logger.Warn("a sink did not close cleanly", "operator", s.wiring.Current(), "subtask", s.id.Index, "error", err)
		}
	}
	if err != nil || s.x.cfg.Checkpoints == nil {
		s.uploads.close(s) // else it goes on contributing
	}
	return err
}

// abort removes what the sinks wrote. What fails here is logged: the subtask already has a
// reason for its end.
func (s *subtask) abort() {
	for _, sink := range s.wiring.Sinks() {
		if err := guarded(sink.Abort); err != nil {
			s.x.cfg.Logger.Warn("a sink did not abort cleanly", "operator", s.wiring.Current(), "subtask", s.id.Index, "error", err)
		}
	}
	// What was acknowledged is the leader's to discard: a checkpoint may name it (R3).
	if s.x.cfg.Checkpoints == nil {
		if err := output.Discard(s.outputs); err != nil {
			s.x.cfg.Logger.Warn("an unfinished output stays behind", "subtask", s.id.Index, "error", err)
		}
	}
	s.outputs = nil
}

// guarded calls f and returns its error or its panic. It calls it in a goroutine of its own: should f
// end that (runtime.Goexit), the subtask's still has its end to report.
func guarded(f func() error) error {
	ended := make(chan error, 1)
	go operator.Guarded(f, func(err error) { ended <- err })
	return <-ended
}

func (s *subtask) counters() job.Counters {
	return job.Counters{
		In: s.wiring.In.Load(), Out: s.wiring.Out.Load(),
		BusyNanos: uint64(max(0, s.busy.Load())), BlockedNanos: uint64(s.blocked.Load()), IdleNanos: uint64(s.idle.Load()),
		Operators: s.wiring.Operators(),
	}
}
