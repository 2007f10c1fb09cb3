package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
)

const ballastMiB = 4 << 10

// largeLeader kills a leader whose memory the kernel frees before it closes connections: heartbeats are what tells. Of two
// JobManagers one has the memory, and is made the leader each time.
func (t *trial) largeLeader(ctx context.Context) error {
	var failed error
	for _, timeout := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond} {
		err := withEnsemble(ctx, t.b.dir, func(quorum string) error {
			c := localcluster.Config{JobManagers: 2, Settings: map[string]string{"zookeeper.quorum": quorum, "checkpoint.interval": "1s",
				"heartbeat.timeout": timeout.String(), "heartbeat.interval": (timeout / 5).String()}}
			return onStage(ctx, t.b, c, func(ctx context.Context, s *stage) error { return t.largeKills(ctx, s, timeout) })
		})
		failed = errors.Join(failed, err)
	}
	return failed
}

func (t *trial) largeKills(ctx context.Context, s *stage, timeout time.Duration) error {
	heavy := s.cl.JobManagers[0]
	heavy.Env = []string{fmt.Sprintf("PERENNIAL_BALLAST_MIB=%d", ballastMiB)}
	heavy.Kill()
	var kills []kill
	var least int64 = math.MaxInt64
	err := s.again(ctx, t.large, bounds{time.Minute, 210 * time.Second}, func(ctx context.Context) error {
		if !heavy.Running() {
			if err := heavy.Start(); err != nil {
				return err
			}
		}
		if err := s.leads(ctx, heavy); err != nil {
			return err
		}
		_, was, err := leading(ctx, s.cl, s.cli)
		if err != nil {
			return err
		}
		rss, err := resident(heavy.PID())
		if err != nil {
			return err
		}
		k := kill{at: time.Now()}
		heavy.Kill()
		if k, err = s.taken(ctx, k, was.Epoch); err != nil {
			return err
		}
		kills, least = append(kills, k), min(least, rss)
		return nil
	})
	limit := timeout.Milliseconds()
	t.row(fmt.Sprintf("SIGKILL of one of two JobManagers, which leads with %s resident at least, heartbeat.timeout %v → epoch committed (signs: %s; tasks restarted: %s)", mib(least), timeout, causes(kills), s.restarted(ctx)),
		len(kills), three(epochs(kills)), fmt.Sprintf("p50 ≤ %d, p99 ≤ %d", limit+10, limit+50))
	return err
}

// handedOver is how long a JobManager that handed over leaves the next claim to others (package coordination). A leader that is
// killed within it is replaced when it is over, if there is nobody else: that would be measured, and not the death.
const handedOver = time.Second

// leads waits until standbys are hot, and has leadership handed over until p has it, and standbys may claim again.
func (s *stage) leads(ctx context.Context, p *localcluster.Process) error {
	for {
		if err := s.hot(ctx); err != nil {
			return err
		}
		leader, self, err := leading(ctx, s.cl, s.cli)
		if err != nil || leader == p {
			return err
		}
		if err := s.cli.StepDown(ctx, self.Epoch); err != nil {
			return err
		}
		if _, err := successor(ctx, s.cl, s.cli, self.Epoch); err != nil {
			return err
		}
		if err := sleep(ctx, handedOver); err != nil {
			return err
		}
	}
}

// caller is a client that asks for the jobs again and again, and waits for each answer.
type caller struct {
	stop context.CancelFunc
	done sync.WaitGroup

	answered []time.Time
	failed   int
}

// ask begins to ask, every millisecond at most.
func (s *stage) ask(ctx context.Context) *caller {
	a := new(caller)
	ctx, a.stop = context.WithCancel(ctx)
	a.done.Go(func() {
		for ctx.Err() == nil {
			call, cancel := context.WithTimeout(ctx, 30*time.Second)
			_, err := s.cli.Jobs(call)
			cancel()
			switch {
			case err == nil:
				a.answered = append(a.answered, time.Now())
			case ctx.Err() == nil:
				a.failed++
			}
			_ = sleep(ctx, time.Millisecond)
		}
	})
	return a
}

// end ends it; answered and failed can be read after it.
func (a *caller) end() {
	a.stop()
	a.done.Wait()
}

// politely has leaders resign.
func (t *trial) politely(ctx context.Context) error {
	return t.onZooKeeper(ctx, nil, func(ctx context.Context, s *stage) error {
		var signalled, claimed, without, unanswered []time.Duration
		answered, failed := 0, 0
		err := s.again(ctx, t.sigterm, bounds{30 * time.Second, 3 * time.Minute}, func(ctx context.Context) error {
			if err := s.hot(ctx); err != nil {
				return err
			}
			victim, was, err := leading(ctx, s.cl, s.cli)
			if err != nil {
				return err
			}
			a := s.ask(ctx)
			err = sleep(ctx, 50*time.Millisecond)
			at := time.Now()
			victim.Terminate(ctx)
			next, err2 := successor(ctx, s.cl, s.cli, was.Epoch)
			err3 := sleep(ctx, 50*time.Millisecond)
			ended := time.Now()
			a.end()
			answered, failed = answered+len(a.answered), failed+a.failed
			if err := errors.Join(err, err2, err3, victim.Start()); err != nil {
				return err
			}
			signalled = append(signalled, since(at, next, next.ServingMillis))
			claimed, without = append(claimed, since(at, next, next.ClaimMillis)), append(without, millis(next.ServingMillis-next.ClaimMillis))
			unanswered = append(unanswered, longestGap(a.answered, at, ended))
			return nil
		})
		t.row("SIGTERM of the leader → the next one serves", len(signalled), three(signalled), "–")
		t.row("of it, until the next one's claim was answered; until then the leader leads on", len(claimed), three(claimed), "–")
		t.row("the rest, without a leader: the next one reads what is committed", len(without), three(without), "≤ 20")
		t.row("the longest that a client which asks again and again waits for an answer meanwhile", len(unanswered), three(unanswered), "–")
		t.row("calls of it, of which failed", answered+failed, fmt.Sprint(failed), "0")
		return err
	})
}

// freezeFor are the lengths of time for which a leader is stopped.
var freezeFor = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, 120 * time.Second}

// heartbeatTimeout is the default of heartbeat.timeout.
const heartbeatTimeout = 500 * time.Millisecond

// frozen stops leaders with SIGSTOP, asks them for something meanwhile, and lets them go on.
func (t *trial) frozen(ctx context.Context) error {
	return t.onZooKeeper(ctx, nil, func(ctx context.Context, s *stage) error {
		var kills []kill
		short, changed, zombie := 0, 0, 0
		lengths := t.lengths()
		err := s.again(ctx, len(lengths), bounds{4 * time.Minute, 9 * time.Minute}, func(ctx context.Context) error {
			d := lengths[0]
			lengths = lengths[1:]
			k, accepted, err := s.freeze(ctx, d)
			zombie += accepted
			switch {
			case err != nil:
				return fmt.Errorf("for %v: %w", d, err)
			case d > heartbeatTimeout:
				kills = append(kills, k)
				return nil
			case k.takeover.Epoch > 0:
				changed++
			}
			short++
			return nil
		})
		limit := heartbeatTimeout.Milliseconds()
		t.row(fmt.Sprintf("SIGSTOP of the leader for 1 s to %v, then SIGCONT → epoch committed (signs: %s; tasks restarted: %s)", slices.Max(append(t.lengths(), 0)), causes(kills), s.restarted(ctx)),
			len(kills), three(epochs(kills)), fmt.Sprintf("p50 ≤ %d, p99 ≤ %d", limit+10, limit+50))
		t.row("SIGSTOP for less than heartbeat.timeout: changes of leader", short, fmt.Sprint(changed), "0")
		t.row("jobs that a frozen leader accepted, and its successor does not know", len(kills)+short, fmt.Sprint(zombie), "0")
		return err
	})
}

// lengths are how long each freeze lasts, the long ones in between the short ones.
func (f faults) lengths() (all []time.Duration) {
	for i := range f.freezes {
		for _, d := range freezeFor {
			if d <= 3*time.Second || i%5 == 0 && !f.quick {
				all = append(all, d)
			}
		}
	}
	return all
}

// freeze stops the leader for d. A job is submitted to it, and to nobody else, meanwhile: what it says is accepted must be in force.
func (s *stage) freeze(ctx context.Context, d time.Duration) (k kill, accepted int, err error) {
	if err := s.afresh(ctx); err != nil {
		return k, 0, err
	}
	victim, was, err := leading(ctx, s.cl, s.cli)
	if err != nil {
		return k, 0, err
	}
	zombie := client.New(client.Fixed(was.REST))
	defer zombie.Close()
	var asked sync.WaitGroup
	defer asked.Wait()
	spec := client.Spec{ID: client.NewID(), Name: "to a frozen leader", Artifact: s.artifact, Parallelism: 2, Args: []string{"--arrivals", s.arrivals + "-none"}}
	k.at = time.Now()
	if err := victim.Signal(syscall.SIGSTOP); err != nil {
		return k, 0, err
	}
	thaw := time.AfterFunc(d, func() { _ = victim.Signal(syscall.SIGCONT) })
	defer thaw.Stop()
	defer func() { _ = victim.Signal(syscall.SIGCONT) }()
	var submitted error
	asked.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, d+5*time.Second)
		defer cancel()
		_, submitted = zombie.Submit(ctx, spec)
	})
	if d > heartbeatTimeout {
		if k, err = s.taken(ctx, k, was.Epoch); err != nil {
			return k, 0, err
		}
	}
	asked.Wait()
	if err := s.hot(ctx); err != nil { // all follow one leader again
		return k, 0, err
	}
	_, now, err := leading(ctx, s.cl, s.cli)
	if err != nil {
		return k, 0, err
	}
	if d < heartbeatTimeout && now.Epoch > was.Epoch {
		k.takeover.Epoch = now.Epoch
	}
	_, err = s.cli.Cancel(ctx, spec.ID) // of what was refused, too: it may have come to pass
	if e, is := errors.AsType[*client.Error](err); is && e.Code == "not-found" {
		if err = nil; submitted == nil {
			accepted = 1
		}
	}
	return k, accepted, err
}

// afresh starts every JobManager again: standbys back off after suspicions that were wrong.
func (s *stage) afresh(ctx context.Context) error {
	for _, p := range s.cl.JobManagers {
		p.Kill()
	}
	for _, p := range s.cl.JobManagers {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return s.hot(ctx)
}
