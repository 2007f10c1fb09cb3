package jobmanager

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/api"
)

// serve opens the API of a term, and says how long the change of leader took.
func (jm *JobManager) serve(l *leader, s vacancy, claimed time.Time) {
	now := time.Now()
	running := 0
	for _, o := range l.jobs.all() {
		if !o.view.Load().State.Terminal() {
			running++
		}
	}
	t := &api.Takeover{
		Epoch: l.term.Epoch(), At: now.UTC(), Previous: s.previous, Reason: s.reason, Jobs: running,
		ClaimMillis: millis(claimed.Sub(s.at)), ServingMillis: millis(now.Sub(s.at)),
	}
	jm.takeover.Store(t)
	jm.counts.takeovers.Add(1)
	jm.serving.Store(l)
	jm.log.Info("took over", "epoch", t.Epoch, "reason", t.Reason, "previous", t.Previous,
		"claim-ms", t.ClaimMillis, "serving-ms", t.ServingMillis, "jobs", t.Jobs)
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
