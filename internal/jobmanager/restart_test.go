package jobmanager

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/restart"
)

// A job is restarted as often as its strategy says, whoever leads, and then fails with the reason and
// the limit.
func TestRestartStrategy(t *testing.T) {
	tests := []struct {
		s        restart.Strategy
		restarts int
		limit    string
	}{
		{restart.Strategy{Kind: restart.None}, 0, "restart.strategy is none"},
		{restart.Strategy{Kind: restart.FixedDelay, Attempts: 1, Delay: 20 * time.Millisecond}, 1, "fixed-delay.attempts allows 1 restart"},
		{restart.Strategy{Kind: restart.FailureRate, MaxFailures: 1, Interval: time.Hour}, 1, "allows 1 restart in 1h0m0s"},
	}
	for _, test := range tests {
		t.Run(string(test.s.Kind), func(t *testing.T) {
			w := newWorld(t)
			w.tune = func(c *Config) { c.Restart = test.s }
			n := w.start("jm-a")
			tm := w.taskManager("tm-0", 2).start()
			w.leader()
			id := w.submit(n)
			w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
			for i := range test.restarts {
				began, name := time.Now(), fmt.Sprintf("tm-%d", i+1)
				tm.kill()
				tm = w.taskManager(name, 2).start()
				w.eventually("restarted", func() bool { j := w.job(id); return j.State == job.Running && j.Restarts == i+1 })
				if took := time.Since(began); took < test.s.Delay {
					t.Errorf("restarted after %v", took)
				}
			}
			n.kill()
			<-n.done
			next := w.start("jm-b")
			w.leader(n)
			w.eventually("connected to the next leader", func() bool {
				c, err := next.Cluster(t.Context())
				return err == nil && c.TaskManagers == 1
			})
			tm.kill()
			j := w.await(id, job.Failed)
			if !strings.Contains(j.Failure, test.limit) || !strings.Contains(j.Failure, "was lost") || j.Restarts != test.restarts {
				t.Errorf("after %d restarts: %q", j.Restarts, j.Failure)
			}
		})
	}
}
