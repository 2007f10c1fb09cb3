package jobmanager

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

// elect takes part in elections until ctx ends, and leads whenever this process has claimed.
func (jm *JobManager) elect(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	observed := make(chan coordination.Leadership, 1)
	suspected := make(chan coordination.Epoch)
	wg.Go(func() { jm.suspect(ctx, stop, observed, suspected) })

	return coordination.Elect(ctx, coordination.ElectConfig{
		Open:      jm.cfg.Open,
		Candidate: coordination.Candidate{ID: jm.cfg.ID, Data: jm.describe()},
		Lead:      jm.lead,
		Fatal: func(err error) bool {
			var wrong *WrongClusterError
			var moved *MovedError
			return errors.As(err, &wrong) || errors.As(err, &moved)
		},
		Suspected: suspected,
		Delay:     func(coordination.Leadership) time.Duration { return jm.cfg.ClaimDelay() },
		Observed: func(l coordination.Leadership) {
			jm.observe(l)
			latest(observed, l)
		},
		Members: func(m []coordination.Member) {
			jm.members.Store(&m)
			jm.tellWhereabouts()
		},
		Logger: jm.log,
	})
}

// welcome tells a TaskManager where the JobManagers are that this one knows of: where its own discovery names one
// of them, it finds the others.
func (jm *JobManager) welcome() rpc.Welcome {
	w := rpc.Welcome{ID: jm.cfg.ID}
	for _, other := range jm.published() {
		if other.Address != "" {
			w.JobManagers = append(w.JobManagers, rpc.Whereabouts{ID: other.ID, Address: other.Address})
		}
	}
	return w
}

// published are the JobManagers as they tell of themselves, as far as this one has heard; those that cannot be read are left out.
func (jm *JobManager) published() (all []api.JobManager) {
	members := jm.members.Load()
	if members == nil {
		return nil
	}
	for _, m := range *members {
		var one api.JobManager
		if json.Unmarshal(m.Data, &one) == nil {
			one.ID = m.ID
			all = append(all, one)
		}
	}
	return all
}

// tellWhereabouts tells every TaskManager that is connected, as the JobManagers have changed.
func (jm *JobManager) tellWhereabouts() {
	w := jm.welcome()
	for _, s := range jm.connections.listTaskManagers() {
		s.post(jm.standbyHeader(), w)
	}
}

// latest puts v into a channel with room for one, in place of what waits there. It is for one
// sender only.
func latest[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// observe notes who leads.
func (jm *JobManager) observe(l coordination.Leadership) {
	if l.ID != jm.cfg.ID {
		jm.history.sees(l.Epoch)
	}
	before := jm.known.Swap(&l)
	if l.Alive && l.ID != jm.cfg.ID && (before == nil || before.Epoch != l.Epoch) {
		jm.log.Info("standing by", "leader", l.ID, "epoch", l.Epoch)
	}
	jm.detector.leads(l)
	switch {
	case l.Epoch == 0:
		jm.vacancies.note(l, suspicion{api.CauseFirst, "nobody has led yet"})
	case !l.Alive:
		jm.vacancies.note(l, suspicion{api.CauseSession, "its session with coordination ended"})
	}
}

// suspect watches whoever leads, and tells Elect of a leader that seems dead. It stops the
// election if this process is none of the leader's cluster.
func (jm *JobManager) suspect(ctx context.Context, stop context.CancelCauseFunc, observed <-chan coordination.Leadership, suspected chan<- coordination.Epoch) {
	var w watch
	defer func() { w.end() }()
	for {
		var tell chan<- coordination.Epoch // nil while there is nothing to tell
		if w.suspicious {
			tell = suspected
		}
		select {
		case l := <-observed:
			if l.Epoch == w.leadership.Epoch && w.stop != nil {
				continue // its Alive has changed, which Elect knows
			}
			w.end()
			w = watch{leadership: l}
			if l.Epoch > 0 && l.ID != jm.cfg.ID {
				w.begin(ctx, stop, jm)
			}
		case s := <-w.verdict:
			jm.vacancies.note(w.leadership, s)
			if s.cause == api.CauseStepDown {
				jm.log.Info("the leader is to be succeeded", "leader", w.leadership.ID, "epoch", w.leadership.Epoch, "reason", s.reason)
			} else {
				jm.log.Warn("the leader seems dead", "leader", w.leadership.ID, "epoch", w.leadership.Epoch, "reason", s.reason)
			}
			w.suspicious = true
		case tell <- w.leadership.Epoch:
			w.suspicious = false
		case <-ctx.Done():
			return
		}
	}
}

// watch is the detector at work on one leader.
type watch struct {
	leadership coordination.Leadership
	verdict    chan suspicion
	suspicious bool // Elect is to be told
	stop       context.CancelFunc
	done       chan struct{}
}

func (w *watch) begin(ctx context.Context, stop context.CancelCauseFunc, jm *JobManager) {
	ctx, w.stop = context.WithCancel(ctx)
	w.verdict, w.done = make(chan suspicion, 1), make(chan struct{})
	led, verdict, done := w.leadership, w.verdict, w.done
	go func() {
		defer close(done)
		var leader api.JobManager
		if err := json.Unmarshal(led.Data, &leader); err != nil {
			jm.log.Error("the leader's record cannot be read: only its session tells whether it lives", "leader", led.ID, "epoch", led.Epoch, "error", err)
			return
		}
		s, wrong := jm.detector.watch(ctx, leader)
		switch {
		case wrong != nil:
			stop(wrong)
		case s.reason != "":
			verdict <- s
		}
	}()
}

// end stops the detector and waits for it.
func (w *watch) end() {
	if w.stop != nil {
		w.stop()
		<-w.done
	}
}
