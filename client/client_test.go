package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCluster is several REST servers, of which one leads.
type fakeCluster struct {
	mu      sync.Mutex
	leader  string // address, or "" while nobody leads
	jobs    map[ID]Job
	dropped int // answers of the leader still to be lost after their effect
	posts   int
	unable  string // why the leader can do nothing at the moment, or ""
	stored  map[string]int
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{jobs: map[ID]Job{}, stored: map[string]int{}}
}

// start runs one JobManager's API and returns its address.
func (f *fakeCluster) start(t *testing.T) (address string, stop func()) {
	s := httptest.NewServer(nil)
	address = s.Listener.Addr().String()
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(address, w, r) })
	t.Cleanup(s.Close)
	return address, s.Close
}

func (f *fakeCluster) serve(self string, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.leader == "":
		reply(w, http.StatusServiceUnavailable, api.Error{Code: api.NoLeader, Message: "nobody leads"})
	case f.leader != self:
		reply(w, http.StatusMisdirectedRequest, api.Error{Code: api.NotLeader, Message: "not I", Leader: f.leader})
	case f.unable != "":
		reply(w, http.StatusServiceUnavailable, api.Error{Code: api.Unavailable, Message: f.unable})
	case strings.HasPrefix(r.URL.Path, "/v1/artifacts/"):
		f.artifact(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/jobs":
		f.submit(w, r)
	case r.URL.Path == "/v1/cluster":
		reply(w, http.StatusOK, Cluster{})
	default:
		reply(w, http.StatusNotFound, api.Error{Code: api.NotFound, Message: "no such job"})
	}
}

func (f *fakeCluster) submit(w http.ResponseWriter, r *http.Request) {
	var s Spec
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		reply(w, http.StatusBadRequest, api.Error{Code: api.BadRequest, Message: err.Error()})
		return
	}
	f.posts++
	f.jobs[s.ID] = Job{Summary: Summary{ID: s.ID}}
	if f.dropped > 0 {
		f.dropped--
		panic(http.ErrAbortHandler) // the effect stands, the answer is lost
	}
	reply(w, http.StatusCreated, f.jobs[s.ID])
}

func (f *fakeCluster) artifact(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		if f.stored[r.URL.Path] == 0 {
			w.WriteHeader(http.StatusNotFound)
		}
		return
	}
	n, _ := io.Copy(io.Discard, r.Body)
	f.stored[r.URL.Path] = int(n)
	w.WriteHeader(http.StatusNoContent)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (f *fakeCluster) lead(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leader = address
}

func newClient(t *testing.T, l Locator) *Client {
	c := New(l)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestFindsTheLeader(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	b, stopB := f.start(t)
	c := newClient(t, Fixed(a, b))

	f.lead(b)
	if _, err := c.Submit(t.Context(), Spec{ID: NewID()}); err != nil {
		t.Fatal("while b leads:", err)
	}
	f.lead(a)
	if _, err := c.Submit(t.Context(), Spec{ID: NewID()}); err != nil {
		t.Fatal("after a took over:", err)
	}
	f.lead("")
	done := make(chan error, 1)
	go func() { _, err := c.Submit(t.Context(), Spec{ID: NewID()}); done <- err }()
	stopB()
	f.lead(a)
	if err := <-done; err != nil {
		t.Fatal("while nobody led at first:", err)
	}
}

// TestLostAnswer: a request whose answer is lost is sent again, under the same id.
func TestLostAnswer(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	f.lead(a)
	f.dropped = 2
	c := newClient(t, Fixed(a))
	if _, err := c.Submit(t.Context(), Spec{ID: NewID()}); err != nil {
		t.Fatal(err)
	}
	if f.posts != 3 || len(f.jobs) != 1 {
		t.Errorf("%d requests made %d jobs, want 3 and 1", f.posts, len(f.jobs))
	}
}

func TestRefusalIsFinal(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	f.lead(a)
	c := newClient(t, Fixed(a))
	_, err := c.Job(t.Context(), NewID())
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != api.NotFound {
		t.Errorf("Job: %v, want a not-found Error", err)
	}
}

// What cannot be sent to anybody is not asked of everybody until the context ends.
func TestUnsendableIsFinal(t *testing.T) {
	c := newClient(t, Fixed("127.0.0.1:1"))
	gone := request{method: http.MethodPut, path: "/v1/artifacts/0", timeout: perTry,
		open: func() (io.ReadCloser, int64, error) { return nil, 0, os.ErrNotExist }}
	if err := c.retry(t.Context(), gone, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}

	f := newFakeCluster()
	a, _ := f.start(t)
	f.lead(a)
	var refused *Error
	if _, err := newClient(t, Fixed(a)).Job(t.Context(), "50%"); !errors.As(err, &refused) {
		t.Errorf("Job with an id that is none: %v, want the leader's Error", err)
	}
}

func TestGivesUpWithItsContext(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	c := newClient(t, Fixed(a))
	cause := errors.New("waited enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, cause)
	defer cancel()
	if _, err := c.Jobs(ctx); !errors.Is(err, cause) || !strings.Contains(err.Error(), "nobody leads") {
		t.Errorf("Jobs: %v, want the last answer and the cause", err)
	}
}

// TestTellsThatItWaits: once in a call, with the reason, and the call goes on.
func TestTellsThatItWaits(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	c := newClient(t, Fixed(a))
	var told []error
	c.Waiting = func(reason error, _ time.Time) {
		told = append(told, reason)
		f.lead(a)
	}
	if _, err := c.Submit(t.Context(), Spec{ID: NewID()}); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), "nobody leads") {
		t.Errorf("told %q, want once why it waits", told)
	}
}

// TestTellsWhatTheLeaderIsUnableTo: whoever waits for a full storage hears of the storage, and until when it is tried; nobody looks for
// a JobManager that does not answer.
func TestTellsWhatTheLeaderIsUnableTo(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	f.lead(a)
	f.unable = "storage is full"
	c := newClient(t, Fixed(a))
	cause := errors.New("waited enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ctx, end := context.WithTimeout(ctx, time.Hour)
	defer end()
	var told []error
	c.Waiting = func(reason error, until time.Time) {
		if at, _ := ctx.Deadline(); !until.Equal(at) {
			t.Errorf("it is tried until %v, want %v", until, at)
		}
		told = append(told, reason)
		cancel(cause)
	}
	_, err := c.Submit(ctx, Spec{ID: NewID()})
	unable, ok := errors.AsType[*Error](err)
	if !ok || unable.Code != api.Unavailable || !errors.Is(err, cause) || !strings.Contains(err.Error(), "storage is full") || strings.Contains(err.Error(), "answered") {
		t.Errorf("Submit: %v, want what the leader said, and the cause", err)
	}
	if len(told) != 1 || !errors.Is(told[0], unable) {
		t.Errorf("told %q, want once what the leader said", told)
	}
}

func TestUnreachableIsNamedOnce(t *testing.T) {
	f := newFakeCluster()
	a, stop := f.start(t)
	stop()
	c := newClient(t, Fixed(a))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := c.Jobs(ctx)
	if err == nil || !strings.Contains(err.Error(), "JobManager "+a+": ") || strings.Contains(err.Error(), "http://") {
		t.Errorf("Jobs: %v, want the address and the reason", err)
	}
}

func TestStrangerIsTold(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<html>") }))
	t.Cleanup(s.Close)
	c := newClient(t, Fixed(s.Listener.Addr().String()))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Jobs(ctx); err == nil || !strings.Contains(err.Error(), "not Perennial's") {
		t.Errorf("Jobs: %v", err)
	}
}

func TestUploadOnce(t *testing.T) {
	f := newFakeCluster()
	a, _ := f.start(t)
	f.lead(a)
	path := filepath.Join(t.TempDir(), "job")
	if err := os.WriteFile(path, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Fixed(a))
	sum, err := c.Upload(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if f.stored["/v1/artifacts/"+sum] != 6 {
		t.Fatalf("stored: %v", f.stored)
	}
	f.stored["/v1/artifacts/"+sum] = 1 // a second upload would write 6 again
	if _, err := c.Upload(t.Context(), path); err != nil || f.stored["/v1/artifacts/"+sum] != 1 {
		t.Errorf("a second upload: %v, stored %v", err, f.stored)
	}
}

func TestCheckBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckBinary(self, Cluster{OS: runtime.GOOS, Arch: runtime.GOARCH}); err != nil {
		t.Error("this very binary:", err)
	}
	if err := CheckBinary(self, Cluster{OS: "plan9", Arch: "mips"}); err == nil || !strings.Contains(err.Error(), "GOOS=plan9") {
		t.Errorf("another platform: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("hello"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := CheckBinary(text, Cluster{}); err == nil || !strings.Contains(err.Error(), "no binary") {
		t.Errorf("a text: %v", err)
	}
	if err := CheckBinary(text+"s", Cluster{}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("nothing: %v", err)
	}
}

func TestMatch(t *testing.T) {
	jobs := []Summary{{ID: "01aa00ff"}, {ID: "01ab11ee"}, {ID: "021"}, {ID: "022"}, {ID: "023"}, {ID: "024"}, {ID: "025"}}
	tests := []struct{ part, want, mistake string }{
		{"01aa", "01aa00ff", ""},
		{"11ee", "01ab11ee", ""},
		{"01a", "", "any of 2 jobs (01aa00ff, 01ab11ee)"},
		{"0", "", "any of 7 jobs (01aa00ff, 01ab11ee, 021, 022, …)"},
		{"zz", "", "no job"},
	}
	for _, test := range tests {
		got, err := match(jobs, test.part)
		if string(got) != test.want || (err != nil) != (test.mistake != "") || (err != nil && !strings.Contains(err.Error(), test.mistake)) {
			t.Errorf("match(%q) = %q, %v", test.part, got, err)
		}
	}
}

// storeWithLeader answers Leader, and nothing else.
type storeWithLeader struct {
	coordination.Store
	leadership coordination.Leadership
	done       chan struct{}
	closed     bool
}

func (s *storeWithLeader) Leader(context.Context) (coordination.Leadership, error) {
	return s.leadership, nil
}
func (s *storeWithLeader) Done() <-chan struct{} { return s.done }
func (s *storeWithLeader) Close() error          { s.closed = true; return nil }

func TestByCoordination(t *testing.T) {
	opened := 0
	store := &storeWithLeader{done: make(chan struct{})}
	l := ByCoordination(func(context.Context) (coordination.Store, error) { opened++; return store, nil })
	t.Cleanup(func() { l.Close() })
	if _, err := l.Addresses(t.Context()); err == nil || !strings.Contains(err.Error(), "has led") {
		t.Errorf("nobody has led: %v", err)
	}
	store.leadership = coordination.Leadership{Epoch: 1, Data: []byte(`{"rest":"h:1"}`)}
	if got, err := l.Addresses(t.Context()); err != nil || len(got) != 1 || got[0] != "h:1" {
		t.Errorf("Addresses: %q, %v", got, err)
	}
	if opened != 1 {
		t.Errorf("opened %d sessions, want 1", opened)
	}
	close(store.done)
	ended := store
	store = &storeWithLeader{leadership: store.leadership, done: make(chan struct{})}
	if _, err := l.Addresses(t.Context()); err != nil || opened != 2 {
		t.Errorf("after the session's end: %v, %d sessions", err, opened)
	}
	if !ended.closed {
		t.Error("the session that has ended keeps its connections")
	}
}
