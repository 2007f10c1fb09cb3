package jobmanager

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
)

func claimed(t *testing.T) coordination.Term {
	t.Helper()
	s := memory.New().Open()
	t.Cleanup(func() { s.Close() })
	term, err := s.Claim(t.Context(), coordination.Leadership{}, coordination.Candidate{ID: "x"}, coordination.NewNonce())
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func TestIncarnation(t *testing.T) {
	for _, c := range []struct {
		name            string
		coord, stored   string
		jobs            bool
		want, wantError string
	}{
		{name: "a new cluster"},
		{name: "a known one", coord: "c1", stored: "c1", want: "c1"},
		{name: "its first leader died half-way", coord: "c1", want: "c1"},
		{name: "coordination was wiped", stored: "c1", wantError: "coordination knows of none: it was wiped or restored"},
		{name: "storage of another cluster", coord: "c1", stored: "c2", wantError: "belongs to cluster c2, and coordination to cluster c1"},
		{name: "empty storage of a used cluster", coord: "c1", jobs: true, wantError: "is empty, and cluster c1 has 1 jobs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			term := claimed(t)
			s, err := storage.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var ops []coordination.Op
			if c.coord != "" {
				ops = append(ops, coordination.Create(incarnationKey, []byte(c.coord)))
			}
			if c.jobs {
				ops = append(ops, coordination.Create(intentKey(job.NewID()), []byte("{}")))
			}
			if len(ops) > 0 {
				if _, err := term.Commit(t.Context(), ops...); err != nil {
					t.Fatal(err)
				}
			}
			if c.stored != "" {
				if _, err := s.CreateIncarnation(t.Context(), c.stored); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ensureIncarnation(t.Context(), term, s)
			var wrong *WrongClusterError
			if c.wantError != "" {
				if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.wantError) {
					t.Errorf("error %v, want %q", err, c.wantError)
				}
				return
			}
			if err != nil || c.want != "" && got != c.want || got == "" {
				t.Errorf("incarnation %q, %v", got, err)
			}
			stored, _ := s.Incarnation(context.Background())
			if e, err := term.Get(t.Context(), incarnationKey); err != nil || string(e.Value) != got || stored != got {
				t.Errorf("storage has %q, coordination %q, want %q", stored, e.Value, got)
			}
		})
	}
}

// R16: a JobManager whose storage and coordination do not belong together does not run.
func TestRunRefusesAWrongCluster(t *testing.T) {
	w := newWorld(t)
	if _, err := w.storage.CreateIncarnation(context.Background(), "of old"); err != nil {
		t.Fatal(err)
	}
	n := w.start("jm-a")
	<-n.done
	var wrong *WrongClusterError
	if !errors.As(n.err, &wrong) {
		t.Errorf("Run: %v", n.err)
	}
}

// A standby with another cluster's storage ends, and says why; it deposes nobody (R16).
func TestStandbyOfAWrongClusterEnds(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.leader()
	ours := w.storage
	other, err := storage.Open(t.Context(), t.TempDir())
	if err == nil {
		_, err = other.CreateIncarnation(context.Background(), "of another cluster")
	}
	if err != nil {
		t.Fatal(err)
	}
	w.storage = other
	b := w.start("jm-b")
	w.storage = ours
	w.eventually("it ends", func() bool {
		select {
		case <-b.done:
			return true
		default:
			return false
		}
	})
	var wrong *WrongClusterError
	if !errors.As(b.err, &wrong) || !strings.Contains(b.err.Error(), "of another cluster") || !strings.Contains(b.err.Error(), "storage.dir") {
		t.Errorf("Run: %v", b.err)
	}
	if a.serving.Load() == nil || a.Self().Epoch != 1 {
		t.Errorf("the leader was deposed: %+v", a.Self())
	}
}

// A job that cannot be understood keeps no other from being led, and is not stopped.
func TestBrokenIntentIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 4).start()
	w.leader()
	broken, whole := w.submit(a), w.submit(a)
	w.await(broken, job.Running)
	w.await(whole, job.Running)
	w.eventually("both are deployed", func() bool { tm.mu.Lock(); defer tm.mu.Unlock(); return len(tm.attempts) == 2 })

	term := a.leading.Load().term
	e, err := term.Get(t.Context(), intentKey(broken))
	if err == nil {
		_, err = term.Commit(t.Context(), coordination.Set(e.Key, []byte("{"), e.Version))
	}
	if err != nil {
		t.Fatal(err)
	}
	a.kill()
	b := w.start("jm-b")
	w.eventually("the whole one is led", func() bool { return w.job(whole).State == job.Running })
	if _, err := b.Job(t.Context(), broken); code(err) != "unavailable" {
		t.Errorf("asked for the broken one: %v", err)
	}
	spec := w.spec()
	spec.ID = broken
	if _, err := b.Submit(t.Context(), spec); code(err) != "unavailable" {
		t.Errorf("submitted under the id of the broken one: %v", err)
	}
	if l := b.serving.Load(); l == nil || l.ctx.Err() != nil {
		t.Error("that ended the term")
	}
	w.eventually("followed", func() bool { return tm.did("follows epoch 2") == 1 })
	if tm.did("stops attempt 1") > 0 {
		t.Error("its tasks were stopped")
	}
}

func TestDecodeIntentRefusesWhatCannotRun(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := execution.Intent{Phase: execution.Running, Attempt: 1, GraphHash: "x", Slots: 2, Assignment: []string{"tm"}}
	b, err := encodeIntent(context.Background(), s, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeIntent(context.Background(), s, b); err == nil {
		t.Error("two slots and one instance were accepted")
	}
}

// Whoever asks while a check is under way waits for the next one (R15), and shares it.
func TestChecksAreSharedAndBeginAfterTheQuestion(t *testing.T) {
	term := &slowTerm{begun: make(chan struct{}), finish: make(chan struct{})}
	ctx, end := context.WithCancelCause(t.Context())
	l := &leader{JobManager: &JobManager{}, ctx: ctx, end: end, term: newPausable(term)}
	c := newChecks(l)
	done := make(chan struct{})
	go func() { defer close(done); c.run(ctx) }()

	answers := make(chan error, 4)
	ask := func() { answers <- c.Current(ctx) }
	go ask()
	<-term.begun
	for range 3 {
		go ask()
	}
	term.finish <- struct{}{} // answers the first only
	<-answers
	<-term.begun
	if len(answers) > 0 {
		t.Error("a check answered a question that came after its beginning")
	}
	term.finish <- struct{}{}
	<-answers // at least one; those that came too late for it make another check
	go func() {
		for {
			select {
			case <-term.begun:
			case term.finish <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	<-answers
	<-answers
	end(nil)
	<-done
}

type slowTerm struct {
	coordination.Term
	begun, finish chan struct{}
}

func (s *slowTerm) Check(ctx context.Context) error {
	select {
	case s.begun <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.finish:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
