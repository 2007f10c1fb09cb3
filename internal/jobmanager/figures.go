package jobmanager

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
)

// figuresWait bounds how long Figures waits for the registry of TaskManagers.
const figuresWait = time.Second

// A job that has ended is among the Figures for so long, if it is one of so many that were submitted last.
const (
	endedKept = 5 * time.Minute
	endedMost = 100
)

// Figures is what a JobManager can say without asking coordination: metrics are made of it. A leader
// that was replaced and does not know it yet says what it believes.
type Figures struct {
	Self            api.Self
	Takeovers       uint64 // how often this process has become the leader
	StorageFailures uint64 // operations of this process that storage refused
	Led             *LedFigures
}

// LedFigures is what only the leader knows.
type LedFigures struct {
	Cluster      api.Cluster
	TaskManagers []api.TaskManager
	States       map[job.State]int // how many jobs are in each state, those that ended long ago included
	// Jobs are those that have not ended, or not long ago, the newest first. They are not to be changed.
	Jobs []*api.Job
}

// counts are of this process.
type counts struct{ takeovers, storageFailures atomic.Uint64 }

// Figures tells what this JobManager knows now.
func (jm *JobManager) Figures() Figures {
	f := Figures{Self: jm.Self(), Takeovers: jm.counts.takeovers.Load(), StorageFailures: jm.counts.storageFailures.Load()}
	if l := jm.serving.Load(); l != nil {
		f.Led = l.figures()
	}
	return f
}

func (l *leader) figures() *LedFigures {
	f := &LedFigures{States: make(map[job.State]int)}
	answer, rows := make(chan api.Cluster, 1), make(chan []api.TaskManager, 1)
	l.registry.post(clusterAsked{answer})
	l.registry.post(taskManagersAsked{rows})
	for _, o := range l.jobs.all() {
		if !o.committed() {
			continue
		}
		v := o.view.Load()
		f.States[v.State]++
		f.Jobs = append(f.Jobs, v)
	}
	f.Jobs = recent(f.Jobs, time.Now())
	timer := time.NewTimer(figuresWait)
	defer timer.Stop()
	for range 2 {
		select {
		case f.Cluster = <-answer:
		case f.TaskManagers = <-rows:
		case <-timer.C:
			return f
		case <-l.ctx.Done():
			return f
		}
	}
	return f
}

// recent are those of the jobs, the oldest of which comes first, that are still told of; the newest first.
func recent(jobs []*api.Job, now time.Time) []*api.Job {
	var list []*api.Job
	ended := 0
	for _, j := range slices.Backward(jobs) {
		if j.Finished != nil {
			if ended == endedMost || now.Sub(*j.Finished) >= endedKept {
				continue
			}
			ended++
		}
		list = append(list, j)
	}
	return list
}
