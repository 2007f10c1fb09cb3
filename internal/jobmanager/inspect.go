package jobmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
)

const (
	maxInspections = 32              // questions of clients in work, each to one TaskManager or to all
	inspectTime    = 2 * time.Second // for which a question waits
)

// inspections are the questions that were asked of TaskManagers. They pass by the registry, and no rule of the protocol
// depends on them: an answer that nobody waits for any more is dropped.
type inspections struct {
	mu      sync.Mutex
	clients int // whose questions are in work
	last    uint64
	waiting map[uint64]chan rpc.Inspected // each has room for its answer
}

// enter lets a client's question in, until leave is called.
func (i *inspections) enter() (leave func(), err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.clients >= maxInspections {
		return nil, &api.Error{Code: api.Unavailable, Message: fmt.Sprintf("%d questions about logs and profiles wait for their answers already; ask again", maxInspections)}
	}
	i.clients++
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.clients--
	}, nil
}

// begin makes room for a TaskManager's answer.
func (i *inspections) begin() (query uint64, answer chan rpc.Inspected) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.waiting == nil {
		i.waiting = make(map[uint64]chan rpc.Inspected)
	}
	i.last++
	answer = make(chan rpc.Inspected, 1)
	i.waiting[i.last] = answer
	return i.last, answer
}

func (i *inspections) end(query uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.waiting, query)
}

// answered gives an answer to who waits for it. The session's reader calls it.
func (i *inspections) answered(m rpc.Inspected) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if w := i.waiting[m.Query]; w != nil {
		delete(i.waiting, m.Query)
		w <- m
	}
}

// InspectSelf answers a question about this process.
func (jm *JobManager) InspectSelf(ctx context.Context, q inspect.Question) (p inspect.Piece, err error) {
	switch {
	case q.Probe != nil:
		p.Probed = q.Probe.Run(ctx, jm.cfg.Storage, jm.cfg.Dial, jm.cfg.Version)
	case q.Profile != nil:
		p, err = jm.profiles.Answer(q)
	case q.File != "":
		err = errors.New("a JobManager has no task processes")
	default:
		p, err = inspect.OwnLog(q)
	}
	if err != nil {
		return p, &api.Error{Code: api.NotFound, Message: err.Error()}
	}
	return p, nil
}

// InspectTaskManager asks the TaskManager that part names: the beginning or end of its id, or its host.
func (jm *JobManager) InspectTaskManager(ctx context.Context, part string, q api.Inspect) (api.Inspected, error) {
	if q.Profile == nil && q.PID != 0 {
		return api.Inspected{}, &api.Error{Code: api.BadRequest, Message: "a task process shows profiles of itself only; its output is among the files of its job"}
	}
	l, err := jm.led()
	if err != nil {
		return api.Inspected{}, err
	}
	s, err := jm.connections.find(part)
	if err != nil {
		return api.Inspected{}, err
	}
	leave, err := jm.inspections.enter()
	if err != nil {
		return api.Inspected{}, err
	}
	defer leave()
	m := rpc.Inspect{PID: q.PID, Question: q.Question}
	if q.PID != 0 {
		m.Job = q.Job
	}
	answer, err := l.inspect(ctx, s, m)
	return api.Inspected{TaskManager: s.register.Instance, Host: s.register.Host, Piece: answer.Piece}, err
}

// ProbeTaskManagers has all TaskManagers that are connected look at their surroundings.
func (jm *JobManager) ProbeTaskManagers(ctx context.Context, p inspect.Probe) ([]api.Probed, error) {
	l, err := jm.led()
	if err != nil {
		return nil, err
	}
	leave, err := jm.inspections.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	sessions := jm.connections.listTaskManagers()
	list := make([]api.Probed, len(sessions))
	var wg sync.WaitGroup
	for i, s := range sessions {
		wg.Go(func() {
			own := p
			if own.Write != "" {
				own.Write += "-" + s.register.Instance
			}
			answer, err := l.inspect(ctx, s, rpc.Inspect{Question: inspect.Question{Probe: &own}})
			list[i] = api.Probed{TaskManager: s.register.Instance, Host: s.register.Host, Data: s.register.Data, Version: s.register.Version, Probed: answer.Piece.Probed}
			if err != nil {
				list[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return list, nil
}

// JobFiles lists what a job's task processes have written, as far as TaskManagers that are connected still have it, and
// names those of which it is not known.
func (jm *JobManager) JobFiles(ctx context.Context, id job.ID) (api.JobFiles, error) {
	l, err := jm.led()
	if err != nil {
		return api.JobFiles{}, err
	}
	o, err := l.known(id)
	if err != nil {
		return api.JobFiles{}, err
	}
	leave, err := jm.inspections.enter()
	if err != nil {
		return api.JobFiles{}, err
	}
	defer leave()
	sessions := jm.connections.listTaskManagers()
	found, problems := make([][]api.JobFile, len(sessions)), make([]error, len(sessions))
	var wg sync.WaitGroup
	for i, s := range sessions {
		wg.Go(func() {
			answer, err := l.inspect(ctx, s, rpc.Inspect{Job: id})
			problems[i] = err
			for _, f := range answer.Files {
				found[i] = append(found[i], api.JobFile{TaskManager: s.register.Instance, Host: s.register.Host, File: f})
			}
		})
	}
	wg.Wait()
	all := api.JobFiles{Files: slices.Concat(found...), Missing: notConnected(o.view.Load(), sessions)}
	for i, s := range sessions {
		if problems[i] != nil {
			all.Missing = append(all.Missing, api.Missing{TaskManager: s.register.Instance, Error: problems[i].Error()})
		}
	}
	slices.SortStableFunc(all.Files, func(a, b api.JobFile) int { return cmp.Compare(a.Attempt, b.Attempt) })
	return all, nil
}

// notConnected are the TaskManagers that a job's subtasks are on, or were, and that cannot be asked.
func notConnected(j *api.Job, sessions []*session) (list []api.Missing) {
	known := map[string]bool{"": true}
	for _, s := range sessions {
		known[s.register.Instance] = true
	}
	for _, v := range j.Vertices {
		for _, s := range v.Subtasks {
			if !known[s.TaskManager] {
				known[s.TaskManager] = true
				list = append(list, api.Missing{TaskManager: s.TaskManager, Error: fmt.Sprintf("TaskManager %s is not connected", s.TaskManager)})
			}
		}
	}
	return list
}

// inspect asks over a session, and waits for the answer.
func (l *leader) inspect(ctx context.Context, s *session, m rpc.Inspect) (rpc.Inspected, error) {
	query, answer := l.inspections.begin()
	defer l.inspections.end(query)
	m.Query, m.Instance = query, s.register.Instance
	s.post(l.header, m)
	timer := time.NewTimer(inspectTime)
	defer timer.Stop()
	select {
	case a := <-answer:
		if a.Error != "" {
			return a, &api.Error{Code: api.NotFound, Message: fmt.Sprintf("TaskManager %s on %s: %s", m.Instance, s.register.Host, a.Error)}
		}
		return a, nil
	case <-timer.C:
		return rpc.Inspected{}, &api.Error{Code: api.Unavailable, Message: fmt.Sprintf(
			"%s has not answered within %v: it is busy, or it (or the job's binary) is of a release that does not know this question; ask again", s.who(), inspectTime)}
	case <-s.gone:
		return rpc.Inspected{}, &api.Error{Code: api.Unavailable, Message: s.who() + " has just lost its connection; ask again"}
	case <-l.ctx.Done():
		return rpc.Inspected{}, l.ended()
	case <-ctx.Done():
		return rpc.Inspected{}, ctx.Err()
	}
}

// find is the session of the one TaskManager that part names.
func (c *connections) find(part string) (*session, error) {
	all := c.listTaskManagers()
	var found []*session
	var names []string
	for _, s := range all {
		r := s.register
		if r.Instance == part {
			return s, nil
		}
		if part == r.Host || strings.HasPrefix(r.Instance, part) || strings.HasSuffix(r.Instance, part) {
			found = append(found, s)
		}
		names = append(names, fmt.Sprintf("%s on %s", r.Instance, r.Host))
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(all) == 0:
		return nil, &api.Error{Code: api.NotFound, Message: "no TaskManager is connected"}
	case len(found) == 0:
		return nil, &api.Error{Code: api.NotFound, Message: fmt.Sprintf("no TaskManager is called %q; there are %s", part, strings.Join(names, ", "))}
	}
	return nil, &api.Error{Code: api.BadRequest, Message: fmt.Sprintf("%d TaskManagers are called %q; there are %s", len(found), part, strings.Join(names, ", "))}
}
