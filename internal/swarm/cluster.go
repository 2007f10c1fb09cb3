package swarm

import (
	"context"
	"fmt"
	"os"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// On starts a swarm on a cluster of real JobManagers that has no TaskManagers, and waits until it is hot.
func On(ctx context.Context, cl *localcluster.Cluster, c *client.Client, taskManagers, slots int) (*Swarm, error) {
	self, err := c.Self(ctx, cl.Rest[0])
	if err != nil {
		return nil, err
	}
	s, err := Start(Config{TaskManagers: taskManagers, Slots: slots, Cluster: self.Cluster, JobManagers: func(ctx context.Context) []client.Self {
		return selves(ctx, cl, c)
	}})
	if err != nil {
		return nil, err
	}
	if err := s.Hot(ctx, cl, c); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// selves asks each JobManager who it is, which costs coordination nothing.
func selves(ctx context.Context, cl *localcluster.Cluster, c *client.Client) (list []client.Self) {
	for _, rest := range cl.Rest {
		if self, err := c.Self(ctx, rest); err == nil {
			list = append(list, self)
		}
	}
	return list
}

// Hot waits until every TaskManager is connected with every JobManager that runs, and its slots are there.
func (s *Swarm) Hot(ctx context.Context, cl *localcluster.Cluster, c *client.Client) error {
	running := 0
	for _, p := range cl.JobManagers {
		if p.Running() {
			running++
		}
	}
	return cl.Until(ctx, func() error {
		if n, why := s.Refused(); n > 0 {
			return fmt.Errorf("%d TaskManagers were refused: %s", n, why)
		}
		have, err := c.Cluster(ctx)
		if err != nil {
			return err
		}
		if want, got := running*len(s.all), s.Connections(); want != got || have.Slots != s.cfg.Slots*len(s.all) {
			return fmt.Errorf("%d of %d connections, %d slots", got, want, have.Slots)
		}
		return nil
	})
}

// Run submits jobs of some subtasks each, and waits until all of these run.
func Run(ctx context.Context, cl *localcluster.Cluster, c *client.Client, jobs, subtasks int) ([]client.ID, error) {
	f, err := os.CreateTemp("", "swarm-job-") // of which TaskManagers that run nothing need no more than its name
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString("no program"); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	artifact, err := c.Upload(ctx, f.Name())
	if err != nil {
		return nil, err
	}
	var all []client.ID
	for i := range jobs {
		id := client.NewID()
		if _, err := c.Submit(ctx, client.Spec{ID: id, Name: fmt.Sprintf("swarm-%d", i), Artifact: artifact, Parallelism: subtasks}); err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	for _, id := range all {
		if j, err := cl.Running(ctx, c, id); err != nil || j.State != job.Running {
			return nil, fmt.Errorf("job %s is %s: %w", id, j.State, err)
		}
	}
	return all, nil
}
