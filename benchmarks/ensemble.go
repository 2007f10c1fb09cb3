package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// beside is onZooKeeper with the ensemble in hand.
func (t *trial) beside(ctx context.Context, do func(context.Context, *stage, *testensemble.Ensemble) error) error {
	return withServers(ctx, t.b.dir, func(e *testensemble.Ensemble) error {
		return t.onQuorum(ctx, e.Connect(), nil, func(ctx context.Context, s *stage) error { return do(ctx, s, e) })
	})
}

// epoch is the one that is in force.
func (s *stage) epoch(ctx context.Context) (coordination.Epoch, error) {
	_, self, err := leading(ctx, s.cl, s.cli)
	return self.Epoch, err
}

// ensembleLeader does harm to the ensemble's own leader, while a client asks: each answer takes a round of the quorum.
func (t *trial) ensembleLeader(ctx context.Context) error {
	for _, way := range []struct {
		name string
		harm func(*testensemble.Server) error
	}{{"killed", (*testensemble.Server).Kill}, {"frozen", (*testensemble.Server).Freeze}} {
		err := t.beside(ctx, func(ctx context.Context, s *stage, e *testensemble.Ensemble) error {
			return t.harmLeader(ctx, s, e, way.name, way.harm)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return nil
}

func (t *trial) harmLeader(ctx context.Context, s *stage, e *testensemble.Ensemble, name string, harm func(*testensemble.Server) error) error {
	before, err := s.epoch(ctx)
	if err != nil {
		return err
	}
	var elected, late, unanswered []time.Duration
	var moments []time.Time
	for range t.servers {
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
		a.end()
		if err := errors.Join(err, e.Restore()); err != nil {
			return err
		}
		moments, elected = append(moments, at), append(elected, again.Sub(at))
		late, unanswered = append(late, firstAfter(a.answered, again)), append(unanswered, longestGap(a.answered, at, time.Now()))
	}
	after, err := s.epoch(ctx)
	if err != nil {
		return err
	}
	restarts, err := s.restarts(ctx)
	if err != nil {
		return err
	}
	gaps, err := s.gapsAfter(moments, 3*time.Second)
	t.row(fmt.Sprintf("ZooKeeper's leader %s: changes of leader of the JobManagers, tasks restarted", name), len(moments), fmt.Sprintf("%d, %d", after-before, restarts), "0, 0")
	t.row("the same: the longest gap at the sink within 3 s", len(gaps), three(gaps), "as undisturbed")
	t.row(fmt.Sprintf("the same: the ensemble has a leader (after %s) → a write is answered", three(elected)), len(late), three(late), "≤ 100")
	t.row("the same: the longest wait for an answer in all", len(unanswered), three(unanswered), "–")
	return err
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
		var first []time.Duration
		for range t.losses {
			if err := s.hot(ctx); err != nil {
				return err
			}
			for _, server := range e.Servers[:2] {
				if err := server.Kill(); err != nil {
					return err
				}
			}
			if err := sleep(ctx, t.lasting(time.Minute)); err != nil {
				return err
			}
			if err := e.Restore(); err != nil {
				return err
			}
			back := time.Now()
			at, err := s.nextCheckpoint(ctx, back)
			if err != nil {
				return err
			}
			first = append(first, at.Sub(back))
		}
		restarts, err := s.restarts(ctx)
		t.row(fmt.Sprintf("ZooKeeper's quorum lost for %v: tasks restarted", t.lasting(time.Minute)), len(first), fmt.Sprint(restarts), "0")
		t.row("the same: it is back → the first checkpoint", len(first), three(first), "≤ 2000")
		return err
	})
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
		var adopted []time.Duration
		redeployed := 0
		for range t.outages {
			if err := s.hot(ctx); err != nil {
				return err
			}
			was, err := s.epoch(ctx)
			if err != nil {
				return err
			}
			for _, p := range s.cl.JobManagers {
				p.Kill()
			}
			if err := sleep(ctx, t.lasting(time.Minute)); err != nil {
				return err
			}
			at := time.Now()
			if err := s.cl.JobManagers[0].Start(); err != nil {
				return err
			}
			next, err := successor(ctx, s.cl, s.cli, was)
			if err != nil {
				return err
			}
			if err := s.allRun(ctx); err != nil {
				return err
			}
			adopted, redeployed = append(adopted, time.Since(at)), redeployed+next.Redeployed
			for _, p := range s.cl.JobManagers[1:] {
				if err := p.Start(); err != nil {
					return err
				}
			}
		}
		restarts, err := s.restarts(ctx)
		t.row(fmt.Sprintf("every JobManager killed, one started %v later: tasks restarted, deployed anew", t.lasting(time.Minute)), len(adopted), fmt.Sprintf("%d, %d", restarts, redeployed), "0, 0")
		t.row("the same: its start → every subtask known to run", len(adopted), three(adopted), "–")
		return err
	})
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
