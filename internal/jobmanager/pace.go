package jobmanager

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Heartbeats is how often a leader is heard, and whose silence is too long. They are the fields of Config of the
// same names.
type Heartbeats struct {
	Interval, Timeout, TaskManagerTimeout time.Duration
}

// Pace is the Heartbeats in force. They may be changed at any time, from any goroutine: a JobManager looks at them at
// each beat. All JobManagers of a cluster want the same.
type Pace struct{ now atomic.Pointer[Heartbeats] }

// Set changes the pace, or says why that cannot be.
func (p *Pace) Set(h Heartbeats) error {
	if h.Timeout <= h.Interval {
		return fmt.Errorf("heartbeat.timeout (%v) must be longer than heartbeat.interval (%v)", h.Timeout, h.Interval)
	}
	if h.TaskManagerTimeout <= h.Interval {
		return fmt.Errorf("taskmanager.timeout (%v) must be longer than heartbeat.interval (%v)", h.TaskManagerTimeout, h.Interval)
	}
	p.now.Store(&h)
	return nil
}

// longestLease is the longest: as config's.
const longestLease = 24 * time.Hour

// leastLease is the shortest lease of a TaskManager that can work: see config, which compares it with what the TaskManager has.
func (h Heartbeats) leastLease() time.Duration {
	return max(10*h.Interval, 3*h.Timeout, h.TaskManagerTimeout/5)
}

func (c *Config) heartbeatInterval() time.Duration  { return c.Pace.now.Load().Interval }
func (c *Config) heartbeatTimeout() time.Duration   { return c.Pace.now.Load().Timeout }
func (c *Config) taskManagerTimeout() time.Duration { return c.Pace.now.Load().TaskManagerTimeout }

// beats is a ticker of the heartbeat interval.
type beats struct {
	*time.Ticker
	every time.Duration
}

func newBeats(every time.Duration) *beats { return &beats{time.NewTicker(every), every} }

// keep changes the interval of a ticker, if it is another.
func (b *beats) keep(every time.Duration) {
	if every != b.every {
		b.every = every
		b.Reset(every)
	}
}
