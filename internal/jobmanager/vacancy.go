package jobmanager

import (
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
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

// handedOver is why a leader was followed by another one that it had asked for.
func handedOver(why string) suspicion {
	return suspicion{api.CauseStepDown, "it handed over: " + why}
}

// note keeps what is noticed first of the end of a leadership. What its leader said before it resigned explains whatever
// is noticed after that: a node that is gone, or a port that refuses because the process has ended.
func (v *vacancies) note(l coordination.Leadership, s suspicion) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if l.Epoch > 0 && l.Epoch == v.handed {
		s = v.handover
	}
	if v.latest.at.IsZero() || v.latest.epoch != l.Epoch {
		v.latest = vacancy{suspicion: s, epoch: l.Epoch, previous: l.ID, at: time.Now(), alive: l.Alive}
	}
}

// suspects reports whether the leader of an epoch was given up although its session was there. Its successor's is another.
func (v *vacancies) suspects(epoch coordination.Epoch) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.latest.epoch == epoch && v.latest.alive
}

// released notes that a leader is about to resign. Coordination may have been faster to tell.
func (v *vacancies) released(epoch coordination.Epoch, r rpc.Released) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.handed, v.handover = epoch, handedOver(r.Reason)
	if r.Failed {
		v.handover = suspicion{api.CauseFailure, "it gave up: " + r.Reason}
	}
	if v.latest.epoch == epoch && v.latest.cause == api.CauseSession {
		v.latest.suspicion = v.handover
	}
}

// explain returns why the vacancy that a term filled came to be: what the leader before has said, if that came since, or was.
func (v *vacancies) explain(epoch coordination.Epoch, was suspicion) suspicion {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest.epoch+1 == epoch && !v.latest.at.IsZero() {
		return v.latest.suspicion
	}
	return was // the latest vacancy is another: this leader's own session has ended meanwhile, say
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
