package rest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/storage"
)

// TestForwarding: what a standby is asked about the cluster the leader answers, whose name is on it; what it is asked
// about itself it answers, and a client that says so is told where to go.
func TestForwarding(t *testing.T) {
	s, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := memory.New()
	leader := start(t, c, s, "jm-a")
	await(t, "http://"+leader, "leader")
	standby := "http://" + start(t, c, s, "jm-b")
	await(t, standby, "standby")
	binary := "a job binary"
	sum := sha256.Sum256([]byte(binary))
	for _, test := range []struct {
		method, path, body string
		follow             bool
		status             int
		leader, says       string
	}{
		{"GET", "/v1/jobmanagers", "", false, 200, leader, "jm-a"},
		{"GET", "/v1/jobs?x=%2F", "", false, 200, leader, "[]"},
		{"GET", "/v1/jobs/123", "", false, 400, leader, "no job id"},
		{"PUT", "/v1/artifacts/" + hex.EncodeToString(sum[:]), binary, false, 204, leader, ""},
		{"POST", "/v1/step-down", `{"epoch":7}`, false, 400, leader, "1 is in force"},
		{"GET", "/v1/self", "", false, 200, "", "jm-b"},
		{"GET", "/healthz", "", false, 200, "", "jm-b"},
		{"GET", "/metrics", "", false, 200, "", "is_leader 0"},
		{"GET", "/v1/jobs", "", true, 421, "", leader},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, standby+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		if test.follow {
			req.Header.Set(api.FollowHeader, "yes")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != test.status || resp.Header.Get(api.LeaderHeader) != test.leader || !strings.Contains(string(text), test.says) {
			t.Errorf("%s %s: %d of leader %q, %v: %s", test.method, test.path, resp.StatusCode, resp.Header.Get(api.LeaderHeader), err, text)
		}
	}
}
