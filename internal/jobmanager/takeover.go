package jobmanager

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// moments are those of a takeover, up to its being served.
type moments struct {
	vacancy                                // suspected
	claimed, read, serving, asked, adopted time.Time
}

// serve opens the API of a term.
func (l *leader) serve(m *moments) {
	m.serving = time.Now()
	l.counts.takeovers.Add(1)
	l.serving.Store(l)
}

// tookOver tells how the change of leader went.
func (l *leader) tookOver(m moments) *api.Takeover {
	m.suspicion = l.vacancies.explain(l.term.Epoch(), m.suspicion)
	since := func(t time.Time) float64 { return millis(t.Sub(m.at)) }
	t := &api.Takeover{
		Epoch: l.term.Epoch(), At: time.Now().UTC(), Since: m.at.UTC(), Leader: l.cfg.ID, REST: l.self.REST,
		Previous: m.previous, Cause: m.cause, Reason: m.reason,
		ClaimMillis: since(m.claimed), ReadMillis: since(m.read), AskedMillis: since(m.asked), AdoptedMillis: since(m.adopted), ServingMillis: since(m.serving),
	}
	for _, o := range l.jobs.all() {
		o.tellAdoption(t)
	}
	l.takeover.Store(t)
	l.log.Info("took over", "cause", t.Cause, "reason", t.Reason, "previous", t.Previous,
		"claim-ms", t.ClaimMillis, "read-ms", t.ReadMillis, "asked-ms", t.AskedMillis, "adopted-ms", t.AdoptedMillis, "serving-ms", t.ServingMillis,
		"jobs", t.Jobs, "subtasks", t.Subtasks, "redeployed", t.Redeployed, "unheard", t.Unheard)
	return t
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tellAdoption adds a job to what was taken over.
func (o *owner) tellAdoption(t *api.Takeover) {
	if o.fresh || o.intent.Phase.Terminal() { // it was submitted since, or had ended before
		return
	}
	t.Jobs++
	select {
	case <-o.adopted:
		t.Subtasks += o.found
		t.Redeployed += len(o.missing)
	default:
		t.Unheard++
	}
}

// adopt counts the subtasks that run, or have finished, where they were committed to, once all TaskManagers of the
// job were heard.
func (o *owner) adopt(j *api.Job) {
	for v, vertex := range j.Vertices {
		for _, s := range vertex.Subtasks {
			if (s.State == job.Running || s.State == job.Finished) && !o.missing[job.Subtask{Vertex: v, Index: s.Index}] {
				o.found++
			}
		}
	}
	o.heard = true
	close(o.adopted)
}

// miss notes subtasks that are deployed again before the job is adopted.
func (o *owner) miss(subtasks []job.Subtask) {
	if o.heard {
		return
	}
	if o.missing == nil {
		o.missing = map[job.Subtask]bool{}
	}
	for _, s := range subtasks {
		o.missing[s] = true
	}
}

// handOver has what would die with a leader moved to a standby, by Config.HandOver.
type handOver struct {
	*leader
	wg       sync.WaitGroup
	busy     atomic.Bool
	answered []string // of the last call
	called   time.Time
}

// consider calls the hook when other standbys answer than the last time, and every second.
func (h *handOver) consider(ctx context.Context) {
	if h.cfg.HandOver == nil || h.busy.Load() {
		return
	}
	var answered []string
	for _, s := range h.answering() {
		answered = append(answered, s.hello.REST)
	}
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

// answering are the standbys that have answered within the heartbeat timeout, in the order of their REST addresses.
func (l *leader) answering() []*session {
	var answered []*session
	for _, s := range l.connections.listStandbys() {
		if s.hello.REST != "" && s.silent() < l.cfg.heartbeatTimeout() {
			answered = append(answered, s)
		}
	}
	slices.SortFunc(answered, func(a, b *session) int { return cmp.Compare(a.hello.REST, b.hello.REST) })
	return answered
}
