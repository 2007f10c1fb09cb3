package rest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager"
	"github.com/perennial-io/perennial/internal/rest"
	"github.com/perennial-io/perennial/internal/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a JobManager, and returns the address of its API.
func start(t *testing.T, c *memory.Cluster, s *storage.Storage, id string) string {
	t.Helper()
	return startOn(t, func(context.Context) (coordination.Store, error) { return c.Open(), nil }, s, id)
}

func startOn(t *testing.T, open func(context.Context) (coordination.Store, error), s *storage.Storage, id string) string {
	t.Helper()
	address, _ := startStoppable(t, open, s, id)
	return address
}

func startStoppable(t *testing.T, open func(context.Context) (coordination.Store, error), s *storage.Storage, id string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listens, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- jobmanager.Run(ctx, jobmanager.Config{
			ID: id, Storage: s, API: rest.Handler, Host: "127.0.0.1", Logger: slog.New(slog.DiscardHandler),
			Open:      open,
			Listening: func(_, rest string) { listens <- rest },
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(stop)
	return <-listens, stop
}

// ask sends a request, and decodes the answer into into or, if it is no success, into an Error.
func ask(t *testing.T, method, url string, body io.Reader, into any) (int, api.Error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(api.FollowHeader, "yes")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var failure api.Error
	if resp.StatusCode >= 300 {
		into = &failure
	}
	if method != http.MethodHead && resp.StatusCode != http.StatusNoContent && into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatalf("%s %s: %v", method, url, err)
		}
	}
	return resp.StatusCode, failure
}

func await(t *testing.T, url, role string) api.Self {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		var self api.Self
		ask(t, http.MethodGet, url+"/v1/self", nil, &self)
		serving := role != "leader" || self.Takeover != nil // it leads before it has adopted all
		if self.Role == role && self.Leader != "" && serving {
			return self
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s in 10 s: %+v", role, self)
		}
	}
}

// TestNotReady: without coordination a JobManager is healthy, and has nobody to send requests to.
func TestNotReady(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + startOn(t, func(ctx context.Context) (coordination.Store, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, s, "jm-a")
	if status, _ := ask(t, "GET", url+"/healthz", nil, nil); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	if status, failure := ask(t, "GET", url+"/readyz", nil, nil); status != 503 || failure.Code != api.NoLeader {
		t.Errorf("readyz: %d %+v", status, failure)
	}
}

// TestNotReadyWithoutMajority: a standby that coordination tells nothing any more sees for itself that the leader has died. It cannot
// claim, and is not ready until it can.
func TestNotReadyWithoutMajority(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := memory.New()
	leader, stop := startStoppable(t, func(context.Context) (coordination.Store, error) { return c.Open(), nil }, s, "jm-a")
	await(t, "http://"+leader, "leader")
	sessions := make(chan *memory.Store, 1)
	standby := "http://" + startOn(t, func(context.Context) (coordination.Store, error) {
		session := c.Open()
		sessions <- session
		return session, nil
	}, s, "jm-b")
	await(t, standby, "standby")
	awaitReady(t, standby, 200)
	session := <-sessions
	session.Cut()
	stop()
	awaitReady(t, standby, 503)
	session.Heal()
	await(t, standby, "leader")
	awaitReady(t, standby, 200)
}

// TestLeaderNotReadyWithoutMajority: a leader that reaches no quorum goes on leading, and answers nobody (R15).
func TestLeaderNotReadyWithoutMajority(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	session := memory.New().Open()
	leader := "http://" + startOn(t, func(context.Context) (coordination.Store, error) { return session, nil }, s, "jm-a")
	await(t, leader, "leader")
	awaitReady(t, leader, 200)
	session.Cut()
	awaitReady(t, leader, 503)
	session.Heal()
	awaitReady(t, leader, 200)
}

// awaitReady waits until /readyz answers with a status.
func awaitReady(t *testing.T, url string, status int) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		is, _ := ask(t, "GET", url+"/readyz", nil, nil)
		if is == status {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("/readyz answers %d after 10 s, want %d", is, status)
		}
	}
}

func TestAPI(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := memory.New()
	leader := "http://" + start(t, c, s, "jm-a")
	self := await(t, leader, "leader")
	if self.Takeover == nil || self.Takeover.Epoch != 1 || self.Cluster == "" {
		t.Errorf("self: %+v", self)
	}
	standby := "http://" + start(t, c, s, "jm-b")
	await(t, standby, "standby")

	binary := []byte("a job binary")
	sum := sha256.Sum256(binary)
	hash := hex.EncodeToString(sum[:])
	spec := job.Spec{ID: job.NewID(), Name: "test", Artifact: hash}
	body := func(v any) io.Reader {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(b)
	}
	other := spec
	other.Name = "another"
	requests, checkpoint := leader+"/v1/jobs/"+string(spec.ID)+"/requests", job.Request{ID: job.NewID(), Kind: job.TakeCheckpoint}
	for _, step := range []struct {
		method, url string
		body        io.Reader
		status      int
		code        string
		says        string
	}{
		{"GET", leader + "/healthz", nil, 200, "", ""},
		{"GET", leader + "/readyz", nil, 200, "", ""},
		{"GET", standby + "/readyz", nil, 200, "", ""},
		{"HEAD", leader + "/v1/artifacts/" + hash, nil, 404, "", ""},
		{"POST", leader + "/v1/jobs", body(spec), 400, api.BadRequest, "upload it first"},
		{"PUT", leader + "/v1/artifacts/" + hash, strings.NewReader("other"), 400, api.BadRequest, "have hash"},
		{"PUT", leader + "/v1/artifacts/nonsense", strings.NewReader("x"), 400, api.BadRequest, "no SHA-256"},
		{"PUT", leader + "/v1/artifacts/" + hash, bytes.NewReader(binary), 204, "", ""},
		{"HEAD", leader + "/v1/artifacts/" + hash, nil, 200, "", ""},
		{"POST", leader + "/v1/jobs", body(spec), 201, "", ""},
		{"POST", leader + "/v1/jobs", body(spec), 201, "", ""},
		{"POST", leader + "/v1/jobs", body(other), 409, api.Conflict, "was used for another job"},
		{"POST", leader + "/v1/jobs", strings.NewReader(`{"id":`), 400, api.BadRequest, "unexpected EOF"},
		{"POST", leader + "/v1/jobs", strings.NewReader(`{"nom":"x"}`), 400, api.BadRequest, `"nom"`},
		{"POST", leader + "/v1/jobs", strings.NewReader(`{"name":"` + strings.Repeat("x", 1<<20) + `"}`), 400, api.BadRequest, "more than 131072 bytes"},
		{"GET", leader + "/v1/jobs", nil, 200, "", ""},
		{"GET", leader + "/v1/jobs/" + string(spec.ID), nil, 200, "", ""},
		{"GET", leader + "/v1/jobs/123", nil, 400, api.BadRequest, "no job id"},
		{"GET", leader + "/v1/jobs/" + string(job.NewID()), nil, 404, api.NotFound, "there is no job"},
		{"POST", requests, body(checkpoint), 202, "", ""},
		{"POST", requests, body(checkpoint), 202, "", ""},
		{"POST", requests, body(job.Request{ID: checkpoint.ID, Kind: job.StopJob}), 409, api.Conflict, "was used for another request"},
		{"POST", requests, body(job.Request{ID: job.NewID(), Kind: "dance"}), 400, api.BadRequest, `no request "dance"`},
		{"POST", requests, strings.NewReader(`{"kid":"x"}`), 400, api.BadRequest, `"kid"`},
		{"POST", leader + "/v1/jobs/123/requests", body(checkpoint), 400, api.BadRequest, "no job id"},
		{"POST", leader + "/v1/jobs/" + string(job.NewID()) + "/requests", body(checkpoint), 404, api.NotFound, "there is no job"},
		{"POST", leader + "/v1/jobs/" + string(spec.ID) + "/cancel", nil, 202, "", ""},
		{"POST", requests, body(job.Request{ID: job.NewID(), Kind: job.TakeCheckpoint}), 409, api.Conflict, "CANCELED"},
		{"GET", leader + "/v1/cluster", nil, 200, "", ""},
		{"GET", leader + "/v1/jobmanagers", nil, 200, "", ""},
		{"GET", leader + "/v1/taskmanagers", nil, 200, "", ""},
		{"POST", leader + "/v1/taskmanagers/tm-x/drain", strings.NewReader("{}"), 404, api.NotFound, "there is no TaskManager tm-x"},
		{"POST", leader + "/v1/taskmanagers/tm-x/drain", strings.NewReader(`{"fore":true}`), 400, api.BadRequest, `"fore"`},
		{"GET", leader + "/v1/nothing", nil, 404, api.NotFound, "GET /v1/nothing"},
		{"GET", standby + "/v1/jobs", nil, 421, api.NotLeader, self.REST},
		{"PUT", standby + "/v1/artifacts/" + hash, bytes.NewReader(binary), 421, api.NotLeader, self.REST},
		{"POST", standby + "/v1/jobs", body(spec), 421, api.NotLeader, self.REST},
	} {
		status, failure := ask(t, step.method, step.url, step.body, nil)
		if status != step.status || failure.Code != step.code || !strings.Contains(failure.Message, step.says) {
			t.Errorf("%s %s: %d %+v; want %d %s with %q", step.method, step.url, status, failure, step.status, step.code, step.says)
		}
		if step.code == api.NotLeader && failure.Leader != self.REST {
			t.Errorf("%s %s names %q as leader, want %q", step.method, step.url, failure.Leader, self.REST)
		}
	}
	var j api.Job
	if ask(t, http.MethodGet, leader+"/v1/jobs/"+string(spec.ID), nil, &j); j.State != job.Canceled {
		t.Errorf("the job is %s", j.State)
	}
}

// A client that never finishes its headers is hung up on, and holds up nobody meanwhile.
func TestSlowHeaders(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the server's patience")
	}
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	address := start(t, memory.New(), s, "jm-a")
	await(t, "http://"+address, "leader")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v1/self HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection was not ended: %v", err)
	}
}

// TestMetrics: leader and standby answer a scrape, each as what it is.
func TestMetrics(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := memory.New()
	leader := "http://" + start(t, c, s, "jm-a")
	await(t, leader, "leader")
	standby := "http://" + start(t, c, s, "jm-b")
	await(t, standby, "standby")
	for url, want := range map[string][]string{
		leader:  {"perennial_jobmanager_is_leader 1", "perennial_jobmanager_epoch 1", "perennial_jobmanager_takeovers_total 1", "perennial_slots 0", "go_goroutines"},
		standby: {"perennial_jobmanager_is_leader 0", "perennial_jobmanager_epoch 1", "perennial_jobmanager_takeovers_total 0", "go_goroutines"},
	} {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s: %v", url, resp.Status, err)
		}
		for _, line := range want {
			if !strings.Contains(string(text), "\n"+line) {
				t.Errorf("%s does not tell %q:\n%s", url, line, text)
			}
		}
	}
}
