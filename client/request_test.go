package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// requested is a leader of one job, which serves a request after it was asked for it so many times.
type requested struct {
	mu      sync.Mutex
	job     Job
	lost    int // answers that are lost after their effect
	served  int
	failure string
	posts   []job.Request
}

func (f *requested) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost {
		var asked job.Request
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			panic(err)
		}
		f.posts = append(f.posts, asked)
		if len(f.job.Requests) == 0 {
			f.job.Requests = []Request{{Request: asked, State: "ASKED"}}
		}
		if f.lost > 0 {
			f.lost--
			panic(http.ErrAbortHandler)
		}
	}
	if f.served--; f.served < 0 && len(f.job.Requests) > 0 {
		now := time.Now()
		f.job.Requests[0].State, f.job.Requests[0].Ended, f.job.Requests[0].Failure = "DONE", &now, f.failure
	}
	reply(w, http.StatusOK, f.job)
}

func (f *requested) client(t *testing.T) *Client {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	c := New(Fixed(s.Listener.Addr().String()))
	t.Cleanup(func() { c.Close() })
	return c
}

// A request whose answer was lost is sent again under the same id, and its outcome waited for.
func TestRequest(t *testing.T) {
	f := &requested{lost: 2, served: 3}
	r, err := f.client(t).Stop(t.Context(), NewID(), "/saved", true)
	if err != nil || r.State != "DONE" {
		t.Errorf("got %+v, %v", r, err)
	}
	if len(f.posts) != 3 || f.posts[0] != f.posts[2] || f.posts[0].Kind != job.StopJob || f.posts[0].Directory != "/saved" || !f.posts[0].Drain {
		t.Errorf("was asked for %+v", f.posts)
	}
}

func TestRefusedRequest(t *testing.T) {
	f := &requested{failure: "too few slots"}
	_, err := f.client(t).Change(t.Context(), NewID(), Change{Parallelism: 9})
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Error() != "too few slots" || refused.Request.Change.Parallelism != 9 {
		t.Errorf("got %v", err)
	}
}

// What is not remembered is not waited for.
func TestForgottenRequest(t *testing.T) {
	f := &requested{job: Job{Requests: []Request{{Request: job.Request{ID: "other"}, State: "ASKED"}}}, served: 1000}
	if _, err := f.client(t).Checkpoint(t.Context(), NewID()); err == nil || !strings.Contains(err.Error(), "does not remember") {
		t.Errorf("got %v", err)
	}
}

// A caller that gives up is told that the request goes on; one that waits, after a while, that it does.
func TestRequestThatWaits(t *testing.T) {
	f := &requested{served: 1 << 30}
	synctest.Test(t, func(t *testing.T) {
		c := New(Fixed("leader"))
		defer c.Close()
		c.http.Transport = direct{f}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waits := 0
		c.Pending = func(_ Job, r Request) {
			if waits++; r.State != "ASKED" {
				t.Errorf("it waits: %+v", r)
			}
		}
		if _, err := c.Savepoint(ctx, NewID(), ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "goes on") || waits != 1 {
			t.Errorf("after it was told %d times: %v", waits, err)
		}
	})
}

// direct answers without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}
