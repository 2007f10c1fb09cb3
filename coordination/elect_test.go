package coordination_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is one candidate in its own goroutine.
type process struct {
	t       *testing.T
	id      string
	cluster *memory.Cluster
	cfg     coordination.ElectConfig
	suspect chan coordination.Epoch
	stop    context.CancelFunc
	led     chan coordination.Term // each term as it begins
	over    chan error             // why each term ended
	result  chan error             // what Elect returned
	log     bytes.Buffer           // read after result

	mu    sync.Mutex
	store *memory.Store
	away  error // of Open; nil: coordination is at hand
}

// newProcess returns a candidate that leads until its term ends. start starts it.
func newProcess(t *testing.T, cluster *memory.Cluster, id string) *process {
	p := &process{
		t: t, id: id, cluster: cluster, suspect: make(chan coordination.Epoch, 1),
		led: make(chan coordination.Term, 64), over: make(chan error, 64), result: make(chan error, 1),
	}
	p.cfg = coordination.ElectConfig{
		Open: p.open, Candidate: coordination.Candidate{ID: id, Data: []byte("at " + id)},
		Suspected: p.suspect, Logger: slog.New(slog.NewTextHandler(&p.log, nil)),
		Lead: func(ctx context.Context, term coordination.Term) error {
			p.led <- term
			<-ctx.Done()
			p.over <- context.Cause(ctx)
			return context.Cause(ctx)
		},
	}
	return p
}

func start(t *testing.T, cluster *memory.Cluster, id string) *process {
	p := newProcess(t, cluster, id)
	p.start()
	return p
}

func (p *process) start() {
	ctx, stop := context.WithCancel(p.t.Context())
	p.stop = stop
	go func() { p.result <- coordination.Elect(ctx, p.cfg) }()
	synctest.Wait()
}

func (p *process) open(context.Context) (coordination.Store, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return nil, p.away
	}
	p.store = p.cluster.Open()
	return p.store, nil
}

// session returns the store that is in use.
func (p *process) session() *memory.Store {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.store
}

// setAway lets Open fail with err, or work again.
func (p *process) setAway(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = err
}

// leads returns the term that began, and fails if none has.
func (p *process) leads(epoch coordination.Epoch) coordination.Term {
	p.t.Helper()
	synctest.Wait()
	select {
	case term := <-p.led:
		if term.Epoch() != epoch {
			p.t.Fatalf("%s leads epoch %d, want %d", p.id, term.Epoch(), epoch)
		}
		return term
	default:
		p.t.Fatalf("%s does not lead, want epoch %d", p.id, epoch)
		return nil
	}
}

func (p *process) standsBy() {
	p.t.Helper()
	synctest.Wait()
	if len(p.led) != 0 {
		p.t.Fatalf("%s leads epoch %d, and should stand by", p.id, (<-p.led).Epoch())
	}
}

// stillLeads fails if a term of p has ended.
func (p *process) stillLeads() {
	p.t.Helper()
	synctest.Wait()
	if len(p.over) != 0 {
		p.t.Fatalf("the term of %s has ended: %v", p.id, <-p.over)
	}
}

// end stops p and fails unless Elect returns because of that.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	if err := <-p.result; !errors.Is(err, context.Canceled) {
		p.t.Errorf("Elect of %s returned %v, want context.Canceled", p.id, err)
	}
	if s := p.session(); s != nil {
		select {
		case <-s.Done():
		default:
			p.t.Errorf("Elect of %s has returned and its session is open", p.id)
		}
	}
}

func create(term coordination.Term, key string) error {
	_, err := term.Commit(context.Background(), coordination.Create(key, []byte("value")))
	return err
}

func TestFailoverOnSessionEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a, b := start(t, cluster, "a"), start(t, cluster, "b")
		old := a.leads(1)
		b.standsBy()

		a.setAway(errors.New("a is cut off"))
		a.session().Expire()
		term := b.leads(2)
		a.stillLeads() // it cannot know, and coordination's absence ends no term (R10)
		frozen := make(chan error, 1)
		go func() { frozen <- create(old, "by/a") }()
		synctest.Wait()
		if len(frozen) != 0 {
			t.Fatalf("Commit without a session returned %v, and should wait", <-frozen)
		}

		a.setAway(nil)
		if err := <-frozen; !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("Commit of the old leader, back in reach: %v, want ErrStaleEpoch", err)
		}
		if err := <-a.over; !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("the old term ended with %v, want ErrStaleEpoch", err)
		}
		if err := create(term, "by/b"); err != nil {
			t.Errorf("Commit of the new leader: %v", err)
		}
		b.end()
		a.leads(3) // it stood by
		a.end()
	})
}

func TestSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a, b := start(t, cluster, "a"), start(t, cluster, "b")
		zombie := a.leads(1)
		a.session().Cut() // a is paused: it hears nothing of what comes
		b.suspect <- 1
		b.leads(2)
		a.stillLeads()
		a.session().Heal()
		if err := create(zombie, "job"); !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("Commit of the woken leader: %v, want ErrStaleEpoch", err)
		}
		if err := <-a.over; !errors.Is(err, coordination.ErrStaleEpoch) {
			t.Errorf("the old term ended with %v, want ErrStaleEpoch", err)
		}
		b.suspect <- 1 // old news
		a.suspect <- 1
		a.standsBy()
		b.stillLeads()
		a.suspect <- 2 // wrongly, but that is allowed
		a.leads(3)
		a.end()
		b.end()
	})
}

// TestTermOutlivesSession expires a living leader's session, again and again.
func TestTermOutlivesSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := start(t, cluster, "a")
		term := a.leads(1)
		for _, key := range []string{"one", "two", "three"} {
			a.session().Expire()
			if err := create(term, key); err != nil { // waits for the next session
				t.Fatalf("Commit over a new session: %v", err)
			}
		}
		if entry, err := term.Get(t.Context(), "one"); err != nil || string(entry.Value) != "value" {
			t.Errorf("Get over a new session: %q, %v", entry.Value, err)
		}
		synctest.Wait() // the members are joined once the term goes on
		watcher := cluster.Open()
		defer watcher.Close()
		if l, err := watcher.Leader(t.Context()); err != nil || l.Epoch != 1 || !l.Alive {
			t.Errorf("Leader is %+v, %v; want epoch 1, alive", l, err)
		}
		if m, err := watcher.Members(t.Context()); err != nil || len(m) != 1 || string(m[0].Data) != "at a" {
			t.Errorf("members are %v, %v; want a", m, err)
		}
		a.stillLeads()
		a.end()
	})
}

// TestCommitWhileSessionEnds: the write landed, its reply and then the session were lost.
func TestCommitWhileSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, memory.New(), "a")
		term := a.leads(1)
		v, err := term.Commit(t.Context(), coordination.Create("deleted", nil), coordination.Create("checked", nil), coordination.Create("set", nil))
		if err != nil {
			t.Fatal(err)
		}
		a.session().LoseReplies()
		type reply struct {
			versions []coordination.Version
			err      error
		}
		replied := make(chan reply, 1)
		go func() {
			versions, err := term.Commit(context.Background(),
				coordination.Create("created", []byte("x")), coordination.Delete("deleted", v[0]),
				coordination.Check("checked", v[1]), coordination.Set("set", []byte("y"), v[2]))
			replied <- reply{versions, err}
		}()
		synctest.Wait()
		a.session().Expire()
		r := <-replied
		if r.err != nil {
			t.Fatalf("Commit that landed before its session ended: %v", r.err)
		}
		for i, key := range []string{"created", "", "checked", "set"} {
			want := coordination.NoVersion
			if key != "" {
				entry, err := term.Get(t.Context(), key)
				if err != nil {
					t.Fatalf("Get %q: %v", key, err)
				}
				want = entry.Version
			}
			if r.versions[i] != want {
				t.Errorf("op %d has version %d, want %d", i, r.versions[i], want)
			}
		}
		// A true conflict stays one, also over a new session.
		a.session().LoseReplies()
		go func() { replied <- reply{err: create(term, "created")} }()
		synctest.Wait()
		a.session().Expire()
		if r := <-replied; !errors.Is(r.err, coordination.ErrConflict) {
			t.Errorf("Create of a key with another value: %v, want ErrConflict", r.err)
		}
		a.end()
	})
}

// TestClaimWhileSessionEnds: the claim took effect, its reply and then the session were lost.
func TestClaimWhileSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newProcess(t, memory.New(), "a")
		a.cfg.Open = func(ctx context.Context) (coordination.Store, error) {
			s, err := a.open(ctx)
			return &mutedClaim{Store: s, memory: s.(*memory.Store)}, err
		}
		a.start()
		a.standsBy() // epoch 1 is its own, but it has not heard of that
		a.session().Expire()
		if term := <-a.led; term.Epoch() != 1 {
			t.Errorf("a leads epoch %d, want its own claim's, 1", term.Epoch())
		}
		a.stillLeads()
		a.end()
	})
}

// mutedClaim loses the reply of every claim.
type mutedClaim struct {
	coordination.Store
	memory *memory.Store
}

func (m *mutedClaim) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	m.memory.LoseReplies()
	return m.Store.Claim(ctx, over, c, nonce)
}

func TestRacingCandidates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		var all []*process
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			all = append(all, newProcess(t, cluster, id))
		}
		for _, p := range all {
			ctx, stop := context.WithCancel(t.Context())
			p.stop = stop
			go func() { p.result <- coordination.Elect(ctx, p.cfg) }()
		}
		for epoch := coordination.Epoch(1); len(all) > 0; epoch++ {
			synctest.Wait()
			leader := -1
			for i, p := range all {
				if len(p.led) == 0 {
					continue
				}
				if leader >= 0 {
					t.Fatalf("%s and %s lead at once", all[leader].id, p.id)
				}
				leader = i
			}
			if leader < 0 {
				t.Fatalf("of %d candidates nobody leads", len(all))
			}
			before := time.Now()
			all[leader].leads(epoch)
			all[leader].end()
			if took := time.Since(before); took != 0 {
				t.Errorf("a polite stop took %v", took)
			}
			all = append(all[:leader], all[leader+1:]...)
		}
	})
}

// TestPoliteStop: Lead may still write when its context ends, and is waited for.
func TestPoliteStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := newProcess(t, cluster, "a")
		var last error
		a.cfg.Lead = func(ctx context.Context, term coordination.Term) error {
			a.led <- term
			<-ctx.Done()
			last = create(term, "last/words")
			return nil
		}
		a.start()
		a.leads(1)
		b := start(t, cluster, "b")
		a.end()
		if last != nil {
			t.Errorf("Commit while Lead returns: %v", last)
		}
		term := b.leads(2)
		if _, err := term.Get(t.Context(), "last/words"); err != nil {
			t.Errorf("Get of the predecessor's last words: %v", err)
		}
		b.end()
	})
}

// TestStopWithoutSession stops a leader that cannot reach coordination.
func TestStopWithoutSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newProcess(t, memory.New(), "a")
		var last error
		a.cfg.Lead = func(ctx context.Context, term coordination.Term) error {
			a.led <- term
			<-ctx.Done()
			last = create(term, "last/words") // must not wait for what will not come
			return nil
		}
		a.start()
		a.leads(1)
		a.setAway(errors.New("gone"))
		a.session().Expire()
		synctest.Wait()
		a.end()
		if !errors.Is(last, coordination.ErrSessionEnded) {
			t.Errorf("Commit of a stopping leader without a session: %v, want ErrSessionEnded", last)
		}
	})
}

func TestUnreachableAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := newProcess(t, cluster, "a")
		a.setAway(errors.New("zk1:2181 does not answer"))
		a.start()
		time.Sleep(time.Minute) // of the bubble's clock
		a.standsBy()
		a.setAway(errors.New("zk1:2181 refuses"))
		time.Sleep(time.Minute)
		a.setAway(nil)
		time.Sleep(time.Second)
		a.leads(1)
		a.end()
		for _, line := range []string{"zk1:2181 does not answer", "zk1:2181 refuses", "at hand again"} {
			if n := strings.Count(a.log.String(), line); n != 1 {
				t.Errorf("%q was logged %d times, want once:\n%s", line, n, &a.log)
			}
		}

		never := newProcess(t, cluster, "never")
		never.setAway(errors.New("does not answer"))
		never.start()
		never.end()
	})
}

// TestLeadReturns: a leader that gives up leaves the term to others, and alone tries again.
func TestLeadReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := newProcess(t, cluster, "a")
		give := make(chan error)
		a.cfg.Lead = func(ctx context.Context, term coordination.Term) error {
			a.led <- term
			select {
			case err := <-give:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		a.cfg.Fatal = func(err error) bool { return err.Error() == "fatal" }
		a.start()
		a.leads(1)
		b := start(t, cluster, "b")
		give <- errors.New("storage is full")
		b.leads(2)
		a.standsBy()
		b.end()
		time.Sleep(2 * time.Second) // of the bubble's clock: a holds back for a second
		a.leads(3)
		give <- errors.New("passing trouble")
		a.standsBy()
		time.Sleep(2 * time.Second)
		a.leads(4)
		give <- errors.New("fatal")
		if err := <-a.result; err == nil || err.Error() != "fatal" {
			t.Errorf("Elect returned %v, want the fatal error", err)
		}
		a.stop()
		start(t, cluster, "c").leads(5) // at once: a has resigned; c ends with the test's context
	})
}

// mute is a session over which nobody can resign for now.
type mute struct {
	coordination.Store
}

type muteTerm struct{ coordination.Term }

func (m mute) Claim(ctx context.Context, over coordination.Leadership, c coordination.Candidate, nonce string) (coordination.Term, error) {
	term, err := m.Store.Claim(ctx, over, c, nonce)
	return muteTerm{term}, err
}

func (muteTerm) Resign(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestLeadReturnsUnheard: a leader that gives up while coordination is away cannot resign. When its
// session outlives that, it is still taken for alive; it knows better (L1).
func TestLeadReturnsUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newProcess(t, memory.New(), "a")
		a.cfg.Open = func(ctx context.Context) (coordination.Store, error) {
			s, err := a.open(ctx)
			return mute{s}, err
		}
		give := make(chan error)
		a.cfg.Lead = func(ctx context.Context, term coordination.Term) error {
			a.led <- term
			select {
			case err := <-give:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		a.start()
		a.leads(1)
		give <- errors.New("storage is full")
		time.Sleep(time.Minute) // of the bubble's clock
		a.leads(2)
		a.end()
	})
}

// TestEndUnheard: a leader that is told to end while coordination does not answer, as it was the last of an embedded quorum,
// ends in half a second, and nothing of that is a warning.
func TestEndUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newProcess(t, memory.New(), "a")
		a.cfg.Open = func(ctx context.Context) (coordination.Store, error) {
			s, err := a.open(ctx)
			return mute{s}, err
		}
		a.start()
		a.leads(1)
		told := time.Now() // by the bubble's clock
		a.end()
		if took := time.Since(told); took > 500*time.Millisecond {
			t.Errorf("it took %v to end", took)
		}
		if strings.Contains(a.log.String(), "WARN") {
			t.Errorf("it warns:\n%s", a.log.String())
		}
	})
}

// TestDelay lets the candidate that is better placed claim first.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		first := start(t, cluster, "first")
		first.leads(1)
		slow := newProcess(t, cluster, "slow")
		slow.cfg.Delay = func(coordination.Leadership) time.Duration { return 20 * time.Millisecond }
		slow.start()
		quick := start(t, cluster, "quick")
		first.end()
		quick.leads(2)
		time.Sleep(time.Second) // of the bubble's clock
		slow.standsBy()
		quick.end()
		slow.standsBy()
		time.Sleep(20 * time.Millisecond)
		slow.leads(3)
		slow.end()
	})
}

// TestObserved tells what a candidate sees of others and of itself.
func TestObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New()
		a := newProcess(t, cluster, "a")
		leaders, members := make(chan coordination.Leadership, 64), make(chan []coordination.Member, 64)
		a.cfg.Observed = func(l coordination.Leadership) { leaders <- l }
		a.cfg.Members = func(m []coordination.Member) { members <- m }
		a.start()
		b := start(t, cluster, "b")
		a.leads(1)
		b.suspect <- 1
		b.leads(2)
		synctest.Wait()
		var last coordination.Leadership
		for len(leaders) > 0 {
			l := <-leaders
			if l.Epoch < last.Epoch {
				t.Errorf("observed epoch %d after %d", l.Epoch, last.Epoch)
			}
			last = l
		}
		if last.Epoch != 2 || last.ID != "b" {
			t.Errorf("the last leadership observed is %+v, want epoch 2 of b", last)
		}
		var m []coordination.Member
		for len(members) > 0 {
			m = <-members
		}
		if len(m) != 2 || m[0].ID != "a" || m[1].ID != "b" {
			t.Errorf("the last members seen are %v, want a and b", m)
		}
		a.end()
		b.end()
	})
}
