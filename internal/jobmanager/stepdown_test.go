package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

// Leadership goes to the standby, the task runs on, and a request that is sent again does nothing.
func TestStepDown(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	tm := w.taskManager("tm-1", 2)
	tm.start()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	if err := a.StepDown(t.Context(), 1); code(err) != api.Conflict || a.serving.Load() == nil {
		t.Fatalf("without a standby: %v", err)
	}
	b := w.start("jm-b")
	w.standbyOf(a, b)
	if err := a.StepDown(t.Context(), 2); code(err) != api.BadRequest {
		t.Errorf("of an epoch to come: %v", err)
	}
	if err := b.StepDown(t.Context(), 1); code(err) != api.NotLeader {
		t.Errorf("of a standby: %v", err)
	}
	if err := a.StepDown(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.eventually("the standby leads", func() bool { return b.serving.Load() != nil && b.Self().Epoch == 2 })
	if err := b.StepDown(t.Context(), 1); err != nil || b.serving.Load() == nil {
		t.Errorf("the request that is sent again, to the successor: %v", err)
	}
	if j, err := b.Job(t.Context(), id); err != nil || j.Restarts > 0 || tm.did("deploys attempt 1 slots [0 1]") != 1 {
		t.Errorf("the job has %d restarts, %v", j.Restarts, err)
	}
	w.eventually("the one before is listed since it stands by", func() bool {
		list, err := b.JobManagers(t.Context())
		return err == nil && len(list) == 2 && list[1].ID == "jm-a" && list[1].Since.After(a.self.Since)
	})
}

// A leader that hands over leads until its successor has claimed; it never resigns, and was not suspected.
func TestSuccession(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		end          func(*node) error
	}{
		{"step-down", "it handed over: an operator had it hand leadership over", func(a *node) error { return a.StepDown(t.Context(), 1) }},
		{"stop", "it handed over: its process was told to end", func(a *node) error { a.stop(); return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.pair()
			l := a.serving.Load()
			if err := c.end(a); err != nil {
				t.Fatal(err)
			}
			w.eventually("the standby leads", func() bool { return b.serving.Load() != nil })
			if err := l.over(); !errors.Is(err, coordination.ErrStaleEpoch) {
				t.Errorf("the term of the one before ended: %v", err)
			}
			list, err := b.Failovers(t.Context())
			if err != nil || len(list) != 2 || list[0].Cause != api.CauseStepDown || list[0].Reason != c.reason {
				t.Errorf("%+v, %v", list, err)
			}
			if c.name == "step-down" {
				w.standbyOf(b, a)
			}
			if b.detector.mu.Lock(); len(b.detector.wrong) > 0 {
				t.Error("a leader that handed over counts as one that was suspected wrongly")
			}
			b.detector.mu.Unlock()
		})
	}
}

// Nobody waits for a standby that is silent: it is told nothing, and hung up on.
func TestStepDownBesideASilentStandby(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	here, there := net.Pipe()
	lost := newSession(rpc.New(here))
	lost.heard.Store(int64(monotonic() - time.Hour))
	a.connections.enterStandby(lost)
	heard := make(chan error, 1)
	go func() {
		_, m, err := rpc.New(there).Receive()
		if err == nil {
			err = fmt.Errorf("it was told %v", m)
		}
		heard <- err
	}()
	if err := a.StepDown(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	w.eventually("the other standby leads", func() bool { return b.serving.Load() != nil })
}

// A standby that goes at the same moment leaves the one that stepped down: it leads again, and knows why it was out.
func TestStepDownWithoutASuccessor(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	b.cut()
	if err := a.StepDown(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.eventually("it leads again", func() bool { return a.serving.Load() != nil && a.Self().Epoch == 2 })
	list, err := a.Failovers(t.Context())
	if err != nil || len(list) != 2 || list[0].Cause != api.CauseStepDown || list[0].Previous != "jm-a" {
		t.Errorf("%+v, %v", list, err)
	}
}

// A leader that cannot lead on says why, and that is what its successor's list has.
func TestLeaderThatGivesUp(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.ClaimDelay = func() time.Duration { return 50 * time.Millisecond } } // coordination in memory is faster than a socket
	a, b := w.pair()
	a.serving.Load().fail(errors.New("job 1 does not keep up"))
	w.eventually("the standby leads", func() bool { return b.serving.Load() != nil })
	list, err := b.Failovers(t.Context())
	if err != nil || len(list) < 2 || list[0].Cause != api.CauseFailure || list[0].Reason != "it gave up: job 1 does not keep up" {
		t.Errorf("%+v, %v", list, err)
	}
}

// A leader that was replaced, or whose session has ended, gives nothing up.
func TestEndedItself(t *testing.T) {
	for _, c := range []struct {
		cause          error
		itself, failed bool
	}{
		{nil, false, false},
		{fmt.Errorf("a commit: %w", coordination.ErrStaleEpoch), false, false},
		{coordination.ErrSessionEnded, false, false},
		{context.Canceled, true, false},
		{errSteppedDown, true, false},
		{errGiven, true, false},
		{errors.New("storage is full"), true, true},
	} {
		if why, itself := endedItself(c.cause); itself != c.itself || why.Failed != c.failed {
			t.Errorf("%v: %v, %t", c.cause, why, itself)
		}
	}
}
