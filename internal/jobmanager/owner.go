package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

// owner looks after one job in one term: its goroutine feeds the job's Execution, and performs
// what that asks for. It starts when there is something to do, so that jobs which have
// ended cost nothing but memory.
type owner struct {
	*leader
	id    job.ID
	fresh bool // not committed yet: the goroutine begins with that

	// Of the goroutine, once it has started.
	intent  execution.Intent
	version coordination.Version
	blob    string // the object in which the intent is; "": it is in coordination
	exec    *execution.Execution

	mailbox mailbox
	once    sync.Once
	view    atomic.Pointer[api.Job]
	shownAt time.Time // by the owner's goroutine
	// storageWait is what the owner waits for, by persist; nil: nothing.
	storageWait atomic.Pointer[string]
	written     atomic.Pointer[written]
	ready       chan struct{} // closed when the job is committed, and spec is known
	spec        job.Spec
	clock       clock

	collecting chan struct{}               // one deletes at a time: full
	refers     map[string][]checkpoint.Dir // what kept manifests refer to, by their names; of who deletes

	forgotten chan struct{} // closed when the job is not there any more: its goroutine ends

	adopted chan struct{} // closed when every TaskManager of the job was heard of
	heard   bool          // adopted is closed
	// What the job's TaskManagers ran then, and what they were found not to: not written any more once adopted is closed.
	found   int
	missing map[job.Subtask]bool
}

// written is what is committed of a job, for those who must not ask its goroutine.
type written struct {
	intent  execution.Intent
	version coordination.Version
	blob    string
}

// newOwner is the owner of a job that is committed as e says, or not yet.
func newOwner(l *leader, in execution.Intent, e coordination.Entry) *owner {
	o := &owner{
		leader: l, id: in.Spec.ID, intent: in, version: e.Version, blob: blobOf(e.Value), spec: in.Spec, collecting: make(chan struct{}, 1),
		ready: make(chan struct{}), forgotten: make(chan struct{}), adopted: make(chan struct{}),
	}
	o.mailbox.wake = make(chan struct{}, 1)
	o.exec = execution.New(in, nil, nil)
	o.show()
	return o
}

// post gives the job an event. It never waits: see mailbox.
func (o *owner) post(e execution.Event) { o.deliver(parcel{event: e}) }

// ask gives the job an event, and returns a channel that is closed when all that follows
// from it, commits included, has been done.
func (o *owner) ask(e execution.Event) <-chan struct{} {
	done := make(chan struct{})
	o.deliver(parcel{event: e, done: done})
	return done
}

func (o *owner) deliver(p parcel) {
	if o.mailbox.put(p) {
		o.start()
	} else {
		o.fail(fmt.Errorf("job %s does not keep up: more than %d events wait", o.id, maxParcels))
	}
}

// start starts the goroutine unless it runs.
func (o *owner) start() {
	o.once.Do(func() { o.jobs.spawn(func() { o.run(o.ctx) }) })
}

// tellFates tells of the TaskManagers of the assignment that are drained, and of those that were declared dead, or are
// unknown, which follows only from that.
func (o *owner) tellFates(managers map[string]*taskManager) {
	for _, instance := range o.intent.Assignment {
		m := managers[instance]
		if m != nil && m.record.Draining {
			o.mailbox.put(parcel{event: execution.Draining{Instance: instance, Force: m.record.Force}})
		}
		if m == nil || m.record.State == dead {
			death := execution.Dead{Instance: instance, Reason: "it was declared dead"}
			if m != nil {
				death = o.registry.death(m)
			}
			o.mailbox.put(parcel{event: death})
		}
	}
}

// run is the goroutine.
func (o *owner) run(ctx context.Context) {
	if err := o.prepare(ctx); err != nil {
		o.fail(err)
		return
	}
	if o.intent.Phase == execution.Running {
		o.clock.first = time.Now() // it has run for a time that is not known here, and leaders may change often
	}
	o.handle(ctx, execution.Began{})
	for {
		parcels := o.mailbox.take()
		for _, p := range parcels {
			o.handle(ctx, p.event)
			if ctx.Err() != nil {
				return // a commit may have been refused: nobody is told that anything is done
			}
			if p.done != nil {
				o.show()
				close(p.done)
			}
		}
		later := o.showPaced(parcels) // once for all that came together: what a leader hears as it takes over comes from each TaskManager
		timer := o.clock.next(o)
		select {
		case <-o.mailbox.wake:
		case <-later:
		case <-timer:
			o.clock.strike(ctx, o)
		case <-o.forgotten:
			return
		case <-ctx.Done():
			return
		}
	}
}

// prepare commits a job that is new, and reads the plan of one that has it.
func (o *owner) prepare(ctx context.Context) error {
	if o.fresh {
		if err := o.create(ctx); err != nil {
			return fmt.Errorf("commit job %s: %w", o.id, err)
		}
		close(o.ready)
	}
	graph, err := o.graph(ctx, o.intent.GraphHash)
	if err != nil {
		return err
	}
	next, err := o.graph(ctx, o.intent.NextGraph())
	if err != nil {
		return err
	}
	o.exec = execution.New(o.intent, graph, next)
	o.exec.Retain(o.cfg.Checkpoints.Retained)
	o.exec.Tolerate(o.cfg.Checkpoints.RestartAfter - 1)
	return nil
}

// graph is a plan of a job that goes on; there is none with the name "".
func (o *owner) graph(ctx context.Context, hash string) (graph *job.Graph, err error) {
	if hash == "" || o.intent.Phase.Terminal() {
		return nil, nil
	}
	err = o.persist(ctx, "read the plan", func() (err error) {
		graph, err = o.shelf.plan(ctx, hash)
		return err
	})
	return graph, err
}

// create commits the job as CREATED (R9). If it is there already, which a write of this
// process that was thought lost can cause, the one that is there counts.
func (o *owner) create(ctx context.Context) error {
	var value []byte
	err := o.persist(ctx, "store the job", func() (err error) {
		value, err = encodeIntent(ctx, o.cfg.Storage, o.intent)
		return err
	})
	if err != nil {
		return err
	}
	versions, err := o.term.Commit(ctx, coordination.Create(intentKey(o.id), value))
	if !errors.Is(err, coordination.ErrConflict) {
		if err == nil {
			o.version, o.blob = versions[0], blobOf(value)
		}
		return err
	}
	entry, err := o.term.Get(ctx, intentKey(o.id))
	if err != nil {
		return err
	}
	o.version, o.blob = entry.Version, blobOf(entry.Value)
	o.intent, err = decodeIntent(ctx, o.cfg.Storage, entry.Value)
	o.spec = o.intent.Spec
	return err
}

// persist repeats what storage could not do, until it can or the term ends: a storage that is
// away for a while fails no job. Any goroutine of the owner may wait here, and who asks for the job is told of the latest.
func (o *owner) persist(ctx context.Context, what string, do func() error) error {
	var told *string
	defer func() { o.storageWait.CompareAndSwap(told, nil) }()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := do()
		if err == nil {
			return nil
		}
		o.counts.storageFailures.Add(1)
		o.log.Error("storage fails; it is tried again", "job", o.id, "operation", what, "error", err)
		said := fmt.Sprintf("%s: %v", what, err)
		told = &said
		o.storageWait.Store(told)
		if pause(ctx, wait); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// handle takes one step, performs what it asks for, and the steps that follow from that. Others see it after show.
func (o *owner) handle(ctx context.Context, e execution.Event) {
	queue := o.step(e)
	for len(queue) > 0 && ctx.Err() == nil {
		action := queue[0]
		queue = queue[1:]
		result, err := o.perform(ctx, action)
		if err != nil {
			o.fail(err)
			return
		}
		if result != nil {
			queue = append(queue, o.step(result)...)
		}
	}
}

// step tells the execution, which knows no time, whether the job may be restarted at this one.
func (o *owner) step(e execution.Event) []execution.Action {
	in := o.exec.Intent()
	o.exec.RefuseRestart(o.cfg.Restart.Refusal(in.TotalRestarts, in.RestartedAt, time.Now()))
	actions := o.exec.Step(e)
	if _, is := e.(execution.Acknowledged); is {
		failpoint.LeaderAcknowledged.Reached()
	}
	return actions
}

// showEvery is how often counters alone are shown: each subtask of a large job tells its own every second.
const showEvery = 200 * time.Millisecond

// showPaced shows what has come of parcels, at once or, if they are counters and some were shown a moment ago, when it says.
func (o *owner) showPaced(parcels []parcel) (later <-chan time.Time) {
	other := slices.ContainsFunc(parcels, func(p parcel) bool { _, counters := p.event.(execution.Progressed); return !counters })
	if wait := showEvery - time.Since(o.shownAt); len(parcels) > 0 && !other && wait > 0 {
		return time.After(wait)
	}
	o.show()
	return nil
}

// show publishes the job as it is now, for those who ask.
func (o *owner) show() {
	o.shownAt = time.Now()
	v := o.exec.View()
	o.written.Store(&written{o.exec.Intent(), o.version, o.blob})
	o.view.Store(&v)
	if !o.heard && o.exec.Adopted() {
		o.adopt(&v)
	}
}
