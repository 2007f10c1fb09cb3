package coordination_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
)

// deaf is a session that tells what it is given, and then nothing of later leaderships.
type deaf struct {
	coordination.Store
	tells []coordination.Leadership
}

func (d *deaf) Observe(context.Context) <-chan coordination.Leadership {
	ch := make(chan coordination.Leadership, len(d.tells))
	for _, l := range d.tells {
		ch <- l
	}
	return ch
}

// newDeaf returns a candidate whose sessions are deaf.
func newDeaf(t *testing.T, cluster *memory.Cluster, id string, tells ...coordination.Leadership) *process {
	p := newProcess(t, cluster, id)
	p.cfg.Open = func(ctx context.Context) (coordination.Store, error) {
		s, err := p.open(ctx)
		return &deaf{Store: s, tells: tells}, err
	}
	return p
}

// TestReplacedWhileIdle: a leader that writes nothing hears that it was replaced.
func TestReplacedWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a, b := start(t, cluster, "a"), start(t, cluster, "b")
		a.leads(1)
		b.suspect <- 1
		b.leads(2)
		if err := <-a.over; !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("the term ended with %v, want ErrStaleEpoch", err)
		}
		a.end()
		b.end()
	})
}

// TestReplacedUnheard: a leader that hears nothing learns it from its first refused write.
func TestReplacedUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := newDeaf(t, cluster, "a", coordination.Leadership{})
		a.start()
		term := a.leads(1)
		b := start(t, cluster, "b")
		b.suspect <- 1
		b.leads(2)
		a.stillLeads()
		if err := create(term, "job"); !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("Commit: %v, want ErrStaleEpoch", err)
		}
		if err := <-a.over; !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("the term ended with %v, want ErrStaleEpoch", err)
		}
		a.end()
		b.stillLeads()
		b.end()
	})
}

// TestOldNews: a standby whose news are old reads once more, and claims over nobody new.
func TestOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := start(t, cluster, "a")
		a.leads(1)
		late := newDeaf(t, cluster, "late", coordination.Leadership{Epoch: 1, ID: "a", Alive: true}, coordination.Leadership{})
		late.start() // the second news is older than the first
		late.standsBy()
		b := start(t, cluster, "b")
		b.suspect <- 1
		b.leads(2)
		late.suspect <- 1
		late.standsBy()
		b.stillLeads()
		for _, p := range []*process{late, a, b} {
			p.end()
		}
	})
}

// TestOldNewsOfDeath: a standby that hears late that the leader's session had ended asks once more,
// and claims over nobody who lives again.
func TestOldNewsOfDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := start(t, cluster, "a")
		a.leads(1)
		late := newDeaf(t, cluster, "late", coordination.Leadership{Epoch: 1, ID: "a"})
		late.start()
		late.standsBy()
		a.stillLeads()
		late.end()
		a.end()
	})
}

// TestReplacedBetweenSessions: a leader whose session ended, and that was replaced meanwhile, learns
// it when it comes back, also if nobody tells.
func TestReplacedBetweenSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := newDeaf(t, cluster, "a", coordination.Leadership{})
		a.start()
		a.leads(1)
		a.setAway(errors.New("cut off"))
		a.session().Expire()
		b := start(t, cluster, "b")
		b.leads(2)
		a.stillLeads()
		a.setAway(nil)
		time.Sleep(2 * time.Second) // of the bubble's clock: it tries again each second
		synctest.Wait()
		if len(a.over) != 1 {
			t.Fatal("the term goes on over a session in which its epoch is not in force")
		}
		if err := <-a.over; !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("the term ended with %v, want ErrStaleEpoch", err)
		}
		a.end()
		b.end()
	})
}

// TestObservedNeverFalls: a new session may be slow to hear what the last one knew.
func TestObservedNeverFalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newDeaf(t, memory.New(), "p", coordination.Leadership{Epoch: 3, ID: "x", Alive: true}, coordination.Leadership{Epoch: 2, ID: "y"})
		var seen []coordination.Epoch
		p.cfg.Observed = func(l coordination.Leadership) { seen = append(seen, l.Epoch) }
		p.start()
		p.end()
		if len(seen) != 1 || seen[0] != 3 {
			t.Errorf("observed the epochs %v, want 3 only", seen)
		}
	})
}

// closing tells what others see at the moment at which the session is closed.
type closing struct {
	coordination.Store
	tell func()
}

func (c *closing) Close() error {
	c.tell()
	return c.Store.Close()
}

// TestResignBeforeClose: closing a session may take a while, and a standby need not wait.
func TestResignBeforeClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		watcher := cluster.Open()
		defer watcher.Close()
		a := newProcess(t, cluster, "a")
		var left coordination.Leadership
		a.cfg.Open = func(ctx context.Context) (coordination.Store, error) {
			s, err := a.open(ctx)
			return &closing{Store: s, tell: func() { left, _ = watcher.Leader(context.Background()) }}, err
		}
		a.start()
		a.leads(1)
		a.end()
		if left.Epoch != 1 || left.Alive {
			t.Errorf("when the session is closed Leader is %+v, want epoch 1, not alive", left)
		}
	})
}
