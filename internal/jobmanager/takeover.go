package jobmanager

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
)

// takeover is one change of leader, as the new one saw it: why, and when each step was done.
type takeover struct {
	vacancy // at is when the leader before was first suspected

	mu    sync.Mutex
	steps [numSteps]time.Time // zero: not done yet
}

// step is one of a takeover's, in the order in which they are done.
type step int

const (
	stepClaimed step = iota // the epoch is this process's
	stepRead                // so is what is committed
	stepAsked               // of every TaskManager that is connected, what runs there
	stepAdopted             // every job has heard of its tasks, or they were waited for long enough
	stepServing             // the API answers
	numSteps
)

// done notes a step, the first time.
func (t *takeover) done(s step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.steps[s].IsZero() {
		t.steps[s] = time.Now()
	}
}

// millis is how long after the suspicion a step was done, in milliseconds; 0 if it was not.
func (t *takeover) millis(s step) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.steps[s].IsZero() {
		return 0
	}
	return millis(t.steps[s].Sub(t.at))
}

// report is what others are told of a takeover.
func (t *takeover) report(epoch coordination.Epoch, jobs int) *api.Takeover {
	return &api.Takeover{
		Epoch: epoch, At: time.Now().UTC(), Suspected: t.at.UTC(), Previous: t.previous, Reason: t.reason, Jobs: jobs,
		ClaimMillis: t.millis(stepClaimed), ReadMillis: t.millis(stepRead), AskedMillis: t.millis(stepAsked),
		AdoptedMillis: t.millis(stepAdopted), ServingMillis: t.millis(stepServing),
	}
}

// serve opens the API of a term.
func (jm *JobManager) serve(l *leader) {
	l.change.done(stepServing)
	jm.counts.takeovers.Add(1)
	jm.note(l)
	jm.serving.Store(l)
}

// tookOver says how long the change of leader took, once jobs are adopted.
func (jm *JobManager) tookOver(l *leader) {
	l.change.done(stepAdopted)
	t := jm.note(l)
	jm.log.Info("took over", "epoch", t.Epoch, "reason", t.Reason, "previous", t.Previous,
		"claim-ms", t.ClaimMillis, "read-ms", t.ReadMillis, "asked-ms", t.AskedMillis, "adopted-ms", t.AdoptedMillis, "serving-ms", t.ServingMillis, "jobs", t.Jobs)
}

// note publishes what is known of the change of leader so far.
func (jm *JobManager) note(l *leader) *api.Takeover {
	running := 0
	for _, o := range l.jobs.all() {
		if !o.view.Load().State.Terminal() {
			running++
		}
	}
	t := l.change.report(l.term.Epoch(), running)
	jm.takeover.Store(t)
	return t
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// handOver has what would die with a leader moved to a standby, by Config.HandOver.
type handOver struct {
	*leader
	wg       sync.WaitGroup
	busy     atomic.Bool
	answered []string // of the last call
	called   time.Time
}

// consider calls the hook when other standbys answer than the last time, and every second.
func (h *handOver) consider(ctx context.Context, standbys []*session) {
	if h.cfg.HandOver == nil || h.busy.Load() {
		return
	}
	answered := h.answering(standbys)
	if len(answered) == 0 || slices.Equal(answered, h.answered) && time.Since(h.called) < time.Second {
		return
	}
	h.answered, h.called = answered, time.Now()
	h.busy.Store(true)
	h.wg.Go(func() {
		defer h.busy.Store(false)
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		if err := h.cfg.HandOver(ctx, answered); err != nil && ctx.Err() == nil {
			h.log.Warn("what would end with this leader was not handed over; it is tried again", "error", err)
		}
	})
}

// answering are the REST addresses of the standbys that have answered within the heartbeat timeout.
func (l *leader) answering(standbys []*session) []string {
	var answered []string
	for _, s := range standbys {
		if s.hello.REST != "" && s.silent() < l.cfg.heartbeatTimeout() {
			answered = append(answered, s.hello.REST)
		}
	}
	slices.Sort(answered)
	return answered
}
