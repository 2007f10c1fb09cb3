package zksession_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// check asks the quorum something.
func check(ctx context.Context, s *zksession.Session, path string) error {
	for {
		if err := s.Multi(ctx, zksession.Check(path, 0)); !zksession.Lost(err) {
			return err
		}
	}
}

func TestSessionMovesWhenItsServerIsKilled(t *testing.T) {
	defer restored(t)
	p, s := behind(t)
	path := newNode(t, s)
	if err := ensemble.At(p.Server()).Kill(); err != nil {
		t.Fatal(err)
	}
	if err := check(within(t, 20*time.Second), s, path); err != nil {
		t.Errorf("Multi with two servers of three: %v", err)
	}
	lives(t, s)
}

// Frozen servers keep their connections open and say nothing. The stock client would stay
// with one for two thirds of the session timeout, and with each that it tries next for 6.7 of them.
func TestFrozenLeaderOfTheEnsemble(t *testing.T) {
	defer restored(t)
	_, s := behind(t)
	path := newNode(t, s)
	led, err := ensemble.Leader(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := led.Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = check(within(t, 100*time.Millisecond), s, path)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("a Multi for 100 ms while nothing can be committed returned %v after %v", err, time.Since(began))
	}
	if err := check(within(t, 20*time.Second), s, path); err != nil {
		t.Errorf("Multi with two servers of three: %v", err)
	}
	t.Logf("it went on after %v", time.Since(began))
	lives(t, s)
}

func TestFrozenServerOfTheSession(t *testing.T) {
	defer restored(t)
	p, s := behind(t)
	path := newNode(t, s)
	if err := ensemble.At(p.Server()).Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := check(within(t, 13*time.Second), s, path); err != nil { // the stock client: after 13.3 s
		t.Errorf("Multi with two servers of three: %v", err)
	}
	t.Logf("it went on after %v", time.Since(began))
	lives(t, s)
}

// A Multi whose reply is lost has been executed, and is said to be lost; a read is sent again.
func TestLostReply(t *testing.T) {
	p, s := behind(t)
	path := newNode(t, s)
	restore := p.LoseReplies()
	written := make(chan error, 1)
	ctx := within(t, 20*time.Second)
	go func() { written <- s.Multi(ctx, zksession.Set(path, []byte("once"), 0)) }()
	other := start(t, zksession.Config{Servers: servers(ensemble.Connect())})
	for {
		if err := other.Sync(ctx, path); err != nil {
			t.Fatal(err)
		}
		if n, err := other.Get(ctx, path); err != nil {
			t.Fatal(err)
		} else if n.Stat.Version == 1 {
			break
		}
	}
	restore()
	if err := <-written; !zksession.Lost(err) {
		t.Errorf("Multi: %v, want one that is lost", err)
	}
	if n, err := s.Get(ctx, path); err != nil || string(n.Data) != "once" {
		t.Errorf("the node holds %q, %v", n.Data, err)
	}
	lives(t, s)
}

// What waits for a connection when the session expires must not be sent in another session.
func TestExpiredSessionIsFinal(t *testing.T) {
	p, s := behind(t)
	other := start(t, zksession.Config{Servers: servers(ensemble.Connect())})
	path := newNode(t, s)
	p.Cut()
	select {
	case <-p.Arrived: // before
	default:
	}
	written := make(chan error, 1)
	ctx := within(t, 20*time.Second)
	go func() {
		for {
			err := s.Multi(ctx, zksession.Set(path, []byte("late"), 0))
			if !zksession.Lost(err) {
				written <- err
				return
			}
		}
	}()
	<-p.Arrived // the write, which goes no further
	p.Expire()
	p.Heal()
	if err := <-written; !errors.Is(err, zksession.ErrEnded) {
		t.Errorf("Multi of an expired session: %v", err)
	}
	<-s.Done()
	if err := check(ctx, other, path); err != nil {
		t.Errorf("what the expired session had queued was written: %v", err)
	}
	if sessions := p.Sessions(); sessions != 1 {
		t.Errorf("the client had %d sessions, want 1: an expired one was followed by another", sessions)
	}
}

// A process that is cut off hears from nobody that its session is over.
func TestLeaseEndsWithoutAServer(t *testing.T) {
	p := testensemble.NewProxy(t, ensemble.Connect())
	s := start(t, zksession.Config{Servers: servers(p.Addresses()), Timeout: 2 * time.Second})
	p.Cut()
	defer p.Heal()
	began := time.Now()
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the session lives on without a server")
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("a session of 2 s ended after %v", took)
	}
	if err := s.Sync(within(t, time.Second), "/"); !errors.Is(err, zksession.ErrEnded) {
		t.Errorf("Sync after the lease: %v", err)
	}
}

// A request that the servers would end the session for is not sent.
func TestTooLarge(t *testing.T) {
	s := start(t, zksession.Config{Servers: servers(ensemble.Connect())})
	path := newNode(t, s)
	if err := s.Multi(within(t, 10*time.Second), zksession.Set(path, make([]byte, 1<<20), 0)); !errors.Is(err, zksession.ErrTooLarge) {
		t.Errorf("Multi of a megabyte: %v, want ErrTooLarge", err)
	}
	if err := s.Multi(within(t, 10*time.Second), zksession.Set(path, make([]byte, 990_000), 0)); err != nil {
		t.Errorf("Multi of a little less: %v", err)
	}
	lives(t, s)
}

// Follow looks again after a change, of data and of names, and after a connection was lost in which changes were missed.
func TestFollow(t *testing.T) {
	p, s := behind(t)
	other := start(t, zksession.Config{Servers: servers(ensemble.Connect())})
	path := newNode(t, s)
	ctx, stop := context.WithCancel(within(t, 30*time.Second))
	type sight struct {
		data  string
		below int
		there bool
	}
	seen, ended := make(chan sight), make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, func(w *zksession.Watcher) error {
			n, err := w.Get(path)
			names, err2 := w.Children(path)
			there, err3 := w.Exists(path + "/leader")
			select {
			case seen <- sight{string(n.Data), len(names), there}:
			case <-ctx.Done():
			}
			return errors.Join(err, err2, err3)
		})
	}()
	await := func(want sight) {
		t.Helper()
		for got := range seen {
			if got == want {
				return
			}
		}
	}
	do := func(ops ...zksession.Op) {
		t.Helper()
		if err := other.Multi(ctx, ops...); err != nil {
			t.Fatal(err)
		}
	}
	await(sight{})
	do(zksession.Set(path, []byte("1"), 0))
	await(sight{data: "1"})
	do(zksession.CreateEphemeral(path+"/leader", nil, open))
	await(sight{"1", 1, true})
	p.Drop()
	do(zksession.Set(path, []byte("2"), 1), zksession.Delete(path+"/leader", zksession.AnyVersion))
	await(sight{data: "2"})
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow: %v", err)
	}
}

// A refusal names the op, and nothing of the Multi is done.
func TestRefusal(t *testing.T) {
	s := start(t, zksession.Config{Servers: servers(ensemble.Connect())})
	path := newNode(t, s)
	err := s.Multi(within(t, 10*time.Second), zksession.Set(path, []byte("x"), 0), zksession.Create(path, nil, open))
	if !zksession.Refused(err, 1, zk.ErrNodeExists) || zksession.Lost(err) {
		t.Errorf("Multi: %v, want that op 1 is refused", err)
	}
	if n, err := s.Get(within(t, 10*time.Second), path); err != nil || len(n.Data) > 0 {
		t.Errorf("the node holds %q, %v", n.Data, err)
	}
}
