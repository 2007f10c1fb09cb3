package jobmanager

import (
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
)

// vacancies remembers why and since when the latest leader was given up.
type vacancies struct {
	mu       sync.Mutex
	latest   vacancy
	handed   coordination.Epoch // the latest whose leader said that it hands over
	handover suspicion          // and why
}

// vacancy is the end of a leadership, as this process saw it.
type vacancy struct {
	suspicion
	epoch    coordination.Epoch
	previous string // its leader's id
	at       time.Time
	alive    bool // its session was still there: it was given up on suspicion
}

func (v *vacancies) note(l coordination.Leadership, s suspicion) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest.at.IsZero() || v.latest.epoch != l.Epoch {
		v.latest = vacancy{suspicion: s, epoch: l.Epoch, previous: l.ID, at: time.Now(), alive: l.Alive}
	}
}

// released notes that a leader is about to resign. Coordination may have been faster to tell.
func (v *vacancies) released(epoch coordination.Epoch, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.handed, v.handover = epoch, suspicion{api.CauseStepDown, "it handed over: " + why}
	if v.latest.epoch == epoch && v.latest.cause == api.CauseSession {
		v.latest.suspicion = v.handover
	}
}

// session says why the node of an epoch's leader is gone.
func (v *vacancies) session(epoch coordination.Epoch) suspicion {
	v.mu.Lock()
	defer v.mu.Unlock()
	if epoch == v.handed {
		return v.handover
	}
	return suspicion{api.CauseSession, "its session with coordination ended"}
}

// before returns the vacancy that a term filled, or one of this moment.
func (v *vacancies) before(epoch coordination.Epoch) vacancy {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest.epoch+1 == epoch && !v.latest.at.IsZero() {
		return v.latest
	}
	return vacancy{suspicion: suspicion{api.CauseUnknown, "it is not known here"}, epoch: epoch - 1, at: time.Now()}
}
