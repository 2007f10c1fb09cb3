package jobmanager

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// TaskManagers lists those that live, and those that are not declared dead yet, in order of their hosts.
func (jm *JobManager) TaskManagers(ctx context.Context) ([]api.TaskManager, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return nil, err
	}
	return ask(ctx, l, func(answer chan<- []api.TaskManager) happening { return taskManagersAsked{answer} })
}

// ask has the registry answer a question of a client.
func ask[T any](ctx context.Context, l *leader, question func(chan<- T) happening) (answer T, err error) {
	answers := make(chan T, 1)
	l.registry.post(question(answers))
	select {
	case answer = <-answers:
		return answer, nil
	case <-l.ctx.Done():
		return answer, l.ended()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// taskManagersAsked: a client wants to know who is there. The answer has room for one.
type taskManagersAsked struct{ answer chan<- []api.TaskManager }

func (h taskManagersAsked) apply(r *registry) {
	free, list := r.free(), []api.TaskManager{}
	for _, m := range r.managers {
		if m.record.State == live {
			list = append(list, r.row(m, free[m.instance]))
		}
	}
	slices.SortFunc(list, func(a, b api.TaskManager) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
	h.answer <- list
}

// row is what is known of a TaskManager now.
func (r *registry) row(m *taskManager, free int) api.TaskManager {
	row := api.TaskManager{
		ID: m.instance, Host: m.record.Host, Address: m.record.Data, Slots: m.record.Slots, SlotsFree: max(free, 0), Draining: m.record.Draining,
		Jobs: append([]job.ID{}, slices.Sorted(maps.Keys(r.holders(m.instance)))...), Since: m.since,
	}
	if m.record.Lease > 0 {
		row.Lease = &api.Lease{Seconds: m.record.Lease.Seconds()}
	}
	if s := m.session; s != nil {
		if asks := s.asks.Load(); asks != nil && row.Lease != nil {
			left := asks.Left.Seconds()
			row.Lease.Left, row.Lease.Paused = &left, asks.Paused
		}
		row.Connected, row.Since, row.PID, row.Version = true, s.began, s.register.PID, s.register.Version
		if load := s.load.Load(); load != nil {
			row.Load = &api.Load{Average: load.Average, Processes: load.Processes, Memory: load.Memory}
		}
		return row
	}
	at := time.Now().Add(r.cfg.taskManagerTimeout() - (monotonic() - m.seen)).UTC()
	row.Dead = &at
	return row
}
