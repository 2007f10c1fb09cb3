package operator

import (
	"sync"

	"github.com/perennial-io/perennial/internal/job"
)

// completion is the newest completed checkpoint of an attempt, for those whom it lets commit.
type completion struct {
	mu    sync.Mutex
	id    job.CheckpointID
	wakes []chan struct{}
}

// rise says that checkpoint id is completed, and with it all that lower ones named.
func (c *completion) rise(id job.CheckpointID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id = max(c.id, id)
	for _, wake := range c.wakes {
		signal(wake)
	}
}

func (c *completion) newest() job.CheckpointID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

func (c *completion) listen(wake chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakes = append(c.wakes, wake)
}
