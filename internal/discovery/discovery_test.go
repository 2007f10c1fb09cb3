package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// follow starts a discovery that ends with the test.
func follow[T any](t *testing.T, d func(context.Context) <-chan T) <-chan T {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := d(ctx)
	t.Cleanup(func() {
		cancel()
		for range c { // closed, or the test binary times out
		}
	})
	return c
}

// await skips lists until one is as wanted; lists in between may be missed or not.
func await(t *testing.T, c <-chan []JobManager, want ...JobManager) {
	t.Helper()
	timeout := time.After(patience)
	var last []JobManager
	for {
		select {
		case last = <-c:
			if slices.Equal(last, want) {
				return
			}
		case <-timeout:
			t.Fatalf("last list %+v, want %+v", last, want)
		}
	}
}

func TestFixed(t *testing.T) {
	await(t, follow(t, Fixed("h:1")), JobManager{RPC: "h:1"})
}

func TestAddresses(t *testing.T) {
	c := follow(t, Addresses(Fixed("h:1")))
	if got := <-c; !slices.Equal(got, []string{"h:1"}) {
		t.Errorf("addresses %q", got)
	}
}

// selfServer answers /v1/self; nil means that it fails.
func selfServer(t *testing.T) (addr string, self *atomic.Pointer[api.Self]) {
	t.Helper()
	self = new(atomic.Pointer[api.Self])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := self.Load()
		if answer == nil || r.URL.Path != "/v1/self" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), self
}

func TestPoll(t *testing.T) {
	rest1, self1 := selfServer(t)
	rest2, self2 := selfServer(t)
	self1.Store(&api.Self{ID: "a", RPC: "h:1", REST: rest1})
	c := follow(t, Poll([]string{rest1, rest2}, time.Millisecond))
	a, b := JobManager{"a", "h:1", rest1}, JobManager{"b", "h:2", rest2}
	await(t, c, a)
	self2.Store(&api.Self{ID: "b", RPC: "h:2", REST: rest2, Leader: rest2, LeaderRPC: "h:2"})
	await(t, c, a, b)
	self1.Store(nil) // away: still listed
	self2.Store(&api.Self{ID: "b2", RPC: "h:3", REST: rest2})
	b2 := JobManager{"b2", "h:3", rest2}
	await(t, c, a, b2)
	// A leader that is only heard of.
	self2.Store(&api.Self{ID: "b2", RPC: "h:3", REST: rest2, Leader: "r:9", LeaderRPC: "h:9"})
	await(t, c, a, b2, JobManager{RPC: "h:9", REST: "r:9"})
}

func TestMembers(t *testing.T) {
	cluster := memory.New()
	var tries atomic.Int32
	stores := make(chan coordination.Store, 8)
	c := follow(t, Members(func(context.Context) (coordination.Store, error) {
		if tries.Add(1) == 1 {
			return nil, errors.New("no quorum")
		}
		s := cluster.Open()
		stores <- s
		return s, nil
	}, nil))
	jm1, jm2 := cluster.Open(), cluster.Open()
	defer jm2.Close()
	join(t, jm1, "a", `{"address":"h:1","rest":"h:81"}`)
	a, b := JobManager{"a", "h:1", "h:81"}, JobManager{"b", "h:2", ""}
	await(t, c, a)
	join(t, jm2, "b", `{"id":"ignored","address":"h:2"}`)
	await(t, c, a, b)

	if err := (<-stores).Close(); err != nil { // the session ends: another is opened
		t.Fatal(err)
	}
	<-stores
	if err := jm1.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, c, b)
	join(t, jm2, "b", `no address`)
	join(t, jm2, "b", `{"address":"h:4"}`)
	await(t, c, JobManager{ID: "b", RPC: "h:4"})
}

func join(t *testing.T, s coordination.Store, id, data string) {
	t.Helper()
	if err := s.Join(t.Context(), coordination.Member{ID: id, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

// Nobody is thought to have gone because coordination shows nobody.
func TestMembersKeepsTheLastList(t *testing.T) {
	cluster := memory.New()
	jm := cluster.Open()
	join(t, jm, "a", `{"address":"h:1"}`)
	c := follow(t, Members(func(context.Context) (coordination.Store, error) { return cluster.Open(), nil }, nil))
	await(t, c, JobManager{ID: "a", RPC: "h:1"})
	if err := jm.Close(); err != nil {
		t.Fatal(err)
	}
	next := cluster.Open()
	defer next.Close()
	join(t, next, "b", `{"address":"h:2"}`)
	if got := <-c; len(got) != 1 || got[0].ID != "b" {
		t.Errorf("the list after an empty one: %+v", got)
	}
}
