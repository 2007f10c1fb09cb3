package jobmanager

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// jobs finds the owner of a job. The mutex guards the map, and nothing waits under it.
type jobs struct {
	*leader
	mu     sync.Mutex
	owners map[job.ID]*owner
	broken map[job.ID]bool // committed, but not to be understood: left alone
	closed bool

	forgotten        job.ID // see forgottenKey
	forgottenVersion coordination.Version
}

func newJobs(l *leader) *jobs {
	return &jobs{leader: l, owners: make(map[job.ID]*owner), broken: make(map[job.ID]bool)}
}

// load reads the committed intents. One that cannot be understood keeps no other from being led.
func (j *jobs) load() error {
	entries, err := j.term.List(j.ctx, jobsPrefix)
	if err != nil {
		return fmt.Errorf("read the jobs: %w", err)
	}
	for _, e := range entries {
		id, isIntent := strings.CutSuffix(strings.TrimPrefix(e.Key, jobsPrefix), "/intent")
		if !isIntent {
			continue
		}
		in, err := decodeIntent(j.ctx, j.cfg.Storage, e.Value)
		if err == nil && string(in.Spec.ID) != id {
			err = fmt.Errorf("it names job %q", in.Spec.ID)
		}
		if err != nil {
			j.log.Error("a job's intent cannot be read; the job is left alone, and its tasks run on", "job", id, "error", err)
			j.broken[job.ID(id)] = true
			continue
		}
		o := newOwner(j.leader, in, e)
		close(o.ready)
		j.owners[in.Spec.ID] = o
	}
	return nil
}

// begin starts the owners of the jobs that have not ended.
func (j *jobs) begin() {
	for _, o := range j.all() {
		if !o.intent.Phase.Terminal() {
			o.start()
		}
	}
}

// add returns the owner of a job, which it makes if there is none yet; its goroutine then
// begins by committing the job. It is nil for a job that may have been forgotten.
func (j *jobs) add(in execution.Intent) *owner {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.owners[in.Spec.ID]
	if o == nil && in.Spec.ID <= j.forgotten {
		return nil
	}
	if o == nil {
		o = newOwner(j.leader, in, coordination.Entry{Version: coordination.NoVersion})
		o.fresh = true
		j.owners[in.Spec.ID] = o
	}
	return o
}

// find returns the owner of a job, or nil.
func (j *jobs) find(id job.ID) *owner {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.owners[id]
}

// unreadable reports whether a job is committed but could not be understood.
func (j *jobs) unreadable(id job.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken[id]
}

// anyUnreadable reports whether there is a job that is committed but could not be understood.
func (j *jobs) anyUnreadable() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.broken) > 0
}

// all are the owners, the oldest job first.
func (j *jobs) all() []*owner {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]*owner, 0, len(j.owners))
	for _, o := range j.owners {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b *owner) int { return strings.Compare(string(a.id), string(b.id)) })
	return list
}

// spawn starts a goroutine of the term, unless the term has ended.
func (j *jobs) spawn(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.wg.Go(f)
	}
}

// close lets no goroutine start any more.
func (j *jobs) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}
