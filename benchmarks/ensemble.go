package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// beside is onZooKeeper with the ensemble in hand.
func (t *trial) beside(ctx context.Context, do func(context.Context, *stage, *testensemble.Ensemble) error) error {
	return withServers(ctx, t.b.dir, func(e *testensemble.Ensemble) error {
		return t.onQuorum(ctx, e.Connect(), nil, func(ctx context.Context, s *stage) error {
			s.mend = e.Restore
			return do(ctx, s, e)
		})
	})
}

// epoch is the one that is in force.
func (s *stage) epoch(ctx context.Context) (coordination.Epoch, error) {
	_, self, err := leading(ctx, s.cl, s.cli)
	return self.Epoch, err
}

// ensembleLeader does harm to the ensemble's own leader, while a client asks: each answer takes a round of the quorum.
func (t *trial) ensembleLeader(ctx context.Context) error {
	var failed error
	for _, way := range []struct {
		name string
		harm func(*testensemble.Server) error
	}{{"killed", (*testensemble.Server).Kill}, {"frozen", (*testensemble.Server).Freeze}} {
		err := t.beside(ctx, func(ctx context.Context, s *stage, e *testensemble.Ensemble) error {
			return t.harmLeader(ctx, s, e, way.name, way.harm)
		})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", way.name, err))
		}
	}
	return failed
}

func (t *trial) harmLeader(ctx context.Context, s *stage, e *testensemble.Ensemble, name string, harm func(*testensemble.Server) error) error {
	before, err := s.epoch(ctx)
	if err != nil {
		return err
	}
	var h harms
	err = s.again(ctx, t.servers, bounds{2 * time.Minute, 150 * time.Second}, func(ctx context.Context) error {
		return h.once(ctx, s, e, harm)
	})
	after, err2 := s.epoch(ctx)
	gaps, err3 := s.gapsAfter(h.moments, 3*time.Second)
	t.row(fmt.Sprintf("ZooKeeper's leader %s: changes of leader of the JobManagers, tasks restarted", name), len(h.moments), fmt.Sprintf("%d, %s", after-before, s.restarted(ctx)), "0, 0")
	t.row("the same: the longest gap at the sink within 3 s", len(gaps), three(gaps), "as undisturbed")
	t.row(fmt.Sprintf("the same: the ensemble has a leader (after %s) → a write is answered", three(h.elected)), len(h.late), three(h.late), "≤ 100")
	t.row("the same: the longest wait for an answer in all", len(h.unanswered), three(h.unanswered), "–")
	return errors.Join(err, err2, err3)
}

// harms are what came of harm to the ensemble's leader.
type harms struct {
	moments                   []time.Time // when it was done
	elected, late, unanswered []time.Duration
}

// once does harm to the ensemble's leader while a client asks, and mends it.
func (h *harms) once(ctx context.Context, s *stage, e *testensemble.Ensemble, harm func(*testensemble.Server) error) error {
	if err := s.hot(ctx); err != nil {
		return err
	}
	led, err := e.Leader(ctx)
	if err != nil {
		return err
	}
	a := s.ask(ctx)
	err = sleep(ctx, 100*time.Millisecond)
	at := time.Now()
	if err := errors.Join(err, harm(led)); err != nil {
		a.end()
		return err
	}
	again, err := another(ctx, e, led)
	err = errors.Join(err, sleep(ctx, 3*time.Second))
	ended := time.Now()
	a.end()
	if err := errors.Join(err, e.Restore()); err != nil {
		return err
	}
	h.moments, h.elected = append(h.moments, at), append(h.elected, again.Sub(at))
	h.late, h.unanswered = append(h.late, firstAfter(a.answered, again)), append(h.unanswered, longestGap(a.answered, at, ended))
	return nil
}

// another waits until another server leads the ensemble, and says when that was.
func another(ctx context.Context, e *testensemble.Ensemble, but *testensemble.Server) (at time.Time, err error) {
	err = pollEach(ctx, 2*time.Millisecond, func() (bool, error) {
		for _, s := range e.Servers {
			if s == but {
				continue
			}
			brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			mode, err := s.Mode(brief)
			cancel()
			if err == nil && mode == "leader" {
				at = time.Now()
				return true, nil
			}
		}
		return false, nil
	})
	return at, err
}

// firstAfter is how long after a moment the first answer came; it had come before if that is 0.
func firstAfter(answered []time.Time, at time.Time) time.Duration {
	for _, t := range answered {
		if t.After(at) {
			return t.Sub(at)
		}
	}
	return time.Hour // never
}

// quorumLost takes two of three servers away for a minute.
func (t *trial) quorumLost(ctx context.Context) error {
	return t.beside(ctx, func(ctx context.Context, s *stage, e *testensemble.Ensemble) error {
		away := t.lasting(time.Minute)
		var first, gaps []time.Duration
		err := s.again(ctx, t.losses, bounds{away + 2*time.Minute, 4 * time.Minute}, func(ctx context.Context) error {
			took, gap, err := s.loseQuorum(ctx, e, away)
			if err == nil {
				first, gaps = append(first, took), append(gaps, gap)
			}
			return err
		})
		t.row(fmt.Sprintf("ZooKeeper's quorum lost for %v: tasks restarted", away), len(first), s.restarted(ctx), "0")
		t.row("the same: the longest gap at the sink until the first checkpoint after it", len(gaps), three(gaps), "as undisturbed")
		t.row("the same: the ensemble has a leader → the first checkpoint is complete", len(first), three(first), "≤ 2000")
		return err
	})
}

// loseQuorum kills two servers, and starts them later. It returns how long after there was a leader of the ensemble again a
// checkpoint was completed, and the longest gap at the sink up to then.
func (s *stage) loseQuorum(ctx context.Context, e *testensemble.Ensemble, away time.Duration) (took, gap time.Duration, err error) {
	if err := s.hot(ctx); err != nil {
		return 0, 0, err
	}
	at := time.Now()
	if err := errors.Join(e.Servers[0].Kill(), e.Servers[1].Kill(), sleep(ctx, away)); err != nil {
		return 0, 0, err
	}
	starting := time.Now()
	restored := make(chan error, 1)
	go func() { restored <- e.Restore() }()
	back, err := another(ctx, e, nil)
	if err := errors.Join(err, <-restored); err != nil {
		return 0, 0, err
	}
	first, err := s.nextCheckpoint(ctx, starting)
	if err != nil {
		return 0, 0, err
	}
	times, err := readArrivals(s.arrivals)
	return first.Sub(back), longestGap(times, at, first), err
}

// nextCheckpoint waits until a checkpoint was completed after a moment.
func (s *stage) nextCheckpoint(ctx context.Context, after time.Time) (at time.Time, err error) {
	err = pollEach(ctx, 20*time.Millisecond, func() (bool, error) {
		brief, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		j, err := s.cli.Job(brief, s.id)
		if err != nil {
			return false, nil //nolint:nilerr // it is tried again until ctx ends
		}
		for _, c := range j.Checkpoints.Completed {
			if c.Completed.After(after) && (at.IsZero() || c.Completed.Before(at)) {
				at = c.Completed
			}
		}
		return !at.IsZero(), nil
	})
	return at, err
}

// everyJobManager kills all of them, and starts one a minute later.
func (t *trial) everyJobManager(ctx context.Context) error {
	return t.onZooKeeper(ctx, nil, func(ctx context.Context, s *stage) error {
		away := t.lasting(time.Minute)
		var adopted []time.Duration
		found, redeployed := 0, 0
		err := s.again(ctx, t.outages, bounds{away + time.Minute, 4 * time.Minute}, func(ctx context.Context) error {
			took, next, err := s.outage(ctx, away)
			if err == nil {
				adopted, found, redeployed = append(adopted, took), found+next.Subtasks, redeployed+next.Redeployed
			}
			return err
		})
		t.row(fmt.Sprintf("every JobManager killed, one started %v later: subtasks adopted, deployed anew, tasks restarted", away), len(adopted),
			fmt.Sprintf("%d of %d, %d, %s", found, len(adopted)*len(localcluster.Subtasks(s.before)), redeployed, s.restarted(ctx)), "all, 0, 0")
		t.row("the same: its start → every subtask known to run", len(adopted), three(adopted), "–")
		return err
	})
}

// outage kills every JobManager, and starts one later, then the others. It returns how long after its start it knew of every
// subtask that it runs.
func (s *stage) outage(ctx context.Context, away time.Duration) (took time.Duration, next client.Takeover, err error) {
	if err := s.hot(ctx); err != nil {
		return 0, next, err
	}
	was, err := s.epoch(ctx)
	if err != nil {
		return 0, next, err
	}
	for _, p := range s.cl.JobManagers {
		p.Kill()
	}
	if err := sleep(ctx, away); err != nil {
		return 0, next, err
	}
	at := time.Now()
	if err := s.cl.JobManagers[0].Start(); err != nil {
		return 0, next, err
	}
	if next, err = successor(ctx, s.cl, s.cli, was); err != nil {
		return 0, next, err
	}
	if err := s.allRun(ctx); err != nil {
		return 0, next, err
	}
	took = time.Since(at)
	for _, p := range s.cl.JobManagers[1:] {
		if err := p.Start(); err != nil {
			return took, next, err
		}
	}
	return took, next, nil
}

// allRun waits until every subtask is known to run as it did.
func (s *stage) allRun(ctx context.Context) error {
	var j client.Job
	return pollEach(ctx, 5*time.Millisecond, func() (bool, error) {
		var err error
		if j, err = s.cli.Job(ctx, s.id); err != nil {
			return false, err
		}
		return runs(j), nil
	})
}
