package jobmanager

import (
	"sync"

	"github.com/perennial-io/perennial/internal/jobmanager/execution"
)

const (
	// maxParcels bounds the events that wait for a job whose commit takes long. States change a
	// few times per subtask and attempt, so only a job that gets nowhere reaches it; the term
	// then ends, and the next leader is told everything anew.
	maxParcels = 1 << 17
	// maxProgress bounds how many may wait before counters, which come every second, are dropped.
	maxProgress = 1 << 10
)

// mailbox is a job's queue of events. Putting never waits, so that a slow job holds up neither
// the registry nor other jobs.
type mailbox struct {
	mu    sync.Mutex
	queue []parcel
	wake  chan struct{} // has room for one
}

type parcel struct {
	event execution.Event
	done  chan struct{} // nil, or closed when the event has been handled
}

// put adds p, or reports that the mailbox is full.
func (m *mailbox) put(p parcel) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, lossy := p.event.(execution.Progressed); lossy && len(m.queue) >= maxProgress {
		return true
	}
	if len(m.queue) >= maxParcels {
		return false
	}
	m.queue = append(m.queue, p)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take removes and returns what is there.
func (m *mailbox) take() []parcel {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := m.queue
	m.queue = nil
	return queue
}
