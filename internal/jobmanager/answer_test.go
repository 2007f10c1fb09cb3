package jobmanager

import (
	"slices"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

// A process that is gone is not listed beside the one that runs in its place, whatever its session does.
func TestStandingBy(t *testing.T) {
	one := func(id, rest string, started int64) api.JobManager {
		return api.JobManager{ID: id, REST: rest, Since: time.Unix(started, 0)}
	}
	published := []api.JobManager{
		one("leader", "a:1", 9), one("before-leader", "a:1", 2),
		one("here", "b:1", 7), one("before-here", "b:1", 8), // its host's clock was set back
		one("coming", "c:1", 9), one("before-coming", "c:1", 3),
		one("away", "d:1", 1),
	}
	connected := map[string]rpc.Hello{"here": {ID: "here"}}
	for _, test := range []struct {
		name    string
		settled bool
		want    []string
	}{
		{"just after a change of leader", false, []string{"here", "coming", "away"}},
		{"later", true, []string{"here"}},
	} {
		var got []string
		for _, s := range standingBy(published, connected, "leader", test.settled) {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v are listed, want %v", test.name, got, test.want)
		}
	}
}
