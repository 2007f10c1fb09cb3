package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	// withheld are the values of those among them that storage did not give. They are not changed after load: see awaitWithheld.
	withheld map[job.ID][]byte
	closed   bool

	forgotten        job.ID // see forgottenKey
	forgottenVersion coordination.Version
}

func newJobs(l *leader) *jobs {
	return &jobs{leader: l, owners: make(map[job.ID]*owner), broken: make(map[job.ID]bool), withheld: make(map[job.ID][]byte)}
}

const (
	// intentsAtOnce of those that are in storage are read at the same time, each for as long as intentPatience: a takeover waits for
	// all, and a storage that hangs is not to hold it up for long.
	intentsAtOnce  = 16
	intentPatience = 2 * time.Second
)

// load reads the committed intents. One that cannot be understood, or that storage does not give, keeps no other from being led.
func (j *jobs) load() error {
	entries, err := j.term.List(j.ctx, jobsPrefix)
	if err != nil {
		return fmt.Errorf("read the jobs: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e coordination.Entry) bool { return !strings.HasSuffix(e.Key, "/intent") })
	intents, errs := make([]execution.Intent, len(entries)), make([]error, len(entries))
	var reads errgroup.Group
	reads.SetLimit(intentsAtOnce)
	for i, e := range entries {
		reads.Go(func() error {
			intents[i], errs[i] = j.read(j.ctx, e.Value)
			return nil // of one job, and no other
		})
	}
	_ = reads.Wait()
	if j.ctx.Err() != nil {
		return j.over() // they may have failed for that
	}
	for i, e := range entries {
		id := job.ID(strings.TrimSuffix(strings.TrimPrefix(e.Key, jobsPrefix), "/intent"))
		err := errs[i]
		if err == nil && intents[i].Spec.ID != id {
			err = fmt.Errorf("it names job %q", intents[i].Spec.ID)
		}
		if err != nil {
			j.leaveAlone(id, e.Value, err)
			continue
		}
		o := newOwner(j.leader, intents[i], e)
		close(o.ready)
		j.owners[id] = o
	}
	return nil
}

func (j *jobs) read(ctx context.Context, value []byte) (execution.Intent, error) {
	ctx, cancel := context.WithTimeout(ctx, intentPatience)
	defer cancel()
	return decodeIntent(ctx, j.cfg.Storage, value)
}

// leaveAlone notes that a job is not led, and why.
func (j *jobs) leaveAlone(id job.ID, value []byte, err error) {
	j.broken[id] = true
	if errors.Is(err, errWithheld) {
		j.withheld[id] = value
		j.counts.storageFailures.Add(1)
		j.log.Error("storage does not give a job's intent; the job is left alone until it does, and its tasks run on", "job", id, "error", err)
		return
	}
	j.log.Error("a job's intent cannot be read; the job is left alone, and its tasks run on", "job", id, "error", err)
}

// withheldPause is between two tries to read what storage withheld. Each may be followed by a change of leader, and those are to be few (L2).
const withheldPause = 30 * time.Second

// errGiven ends a term in which jobs are left alone that could be led.
var errGiven = errors.New("storage gives the intents of jobs again that it did not give when this leader took over: they are led after a change of leader")

// awaitWithheld ends the term once storage gives the intents that it did not give when the term began. The next leader, which may be this
// one, reads all anew: to adopt a job in the midst of a term would be a second way to do so, and a change of leader disturbs no task.
func (j *jobs) awaitWithheld(ctx context.Context, every time.Duration) {
	withheld := maps.Clone(j.withheld)
	for len(withheld) > 0 {
		if pause(ctx, every); ctx.Err() != nil {
			return
		}
		given := 0
		for id, value := range withheld {
			switch _, err := j.read(ctx, value); {
			case err == nil:
				given++
			case !errors.Is(err, errWithheld):
				j.log.Error("a job's intent cannot be read; the job is left alone, and its tasks run on", "job", id, "error", err)
				delete(withheld, id)
			}
		}
		if given > 0 && given == len(withheld) {
			j.fail(errGiven)
			return
		}
	}
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
