package jobmanager

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// connections are the sessions of this process. They outlive terms: a standby holds those of
// the TaskManagers too, so that a new leader has them at once. While this process leads,
// what happens on a TaskManager's session goes to the term's registry.
type connections struct {
	mu           sync.Mutex
	taskManagers map[string]*session // by instance, the newest
	standbys     map[*session]bool
	registry     *registry // of the term, else nil
	closed       bool
}

func newConnections() *connections {
	return &connections{taskManagers: make(map[string]*session), standbys: make(map[*session]bool)}
}

// attach sends what happens from now on to r, and returns the TaskManagers that are there.
func (c *connections) attach(r *registry) []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registry = r
	var list []*session
	for _, s := range c.taskManagers {
		list = append(list, s)
	}
	return list
}

// listTaskManagers are the sessions of TaskManagers, by instance.
func (c *connections) listTaskManagers() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.taskManagers), func(a, b *session) int { return cmp.Compare(a.register.Instance, b.register.Instance) })
}

// detach ends attach. The sessions stay.
func (c *connections) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registry = nil
}

// countTaskManagers is how many TaskManagers are connected.
func (c *connections) countTaskManagers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.taskManagers)
}

// current is the registry of the term, or nil.
func (c *connections) current() *registry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.registry
}

// enterTaskManager adds a session, and returns the registry to tell. An older session of the
// same instance has been given up by its TaskManager, and is closed.
func (c *connections) enterTaskManager(s *session) *registry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.taskManagers[s.register.Instance]; old != nil {
		old.close()
	}
	c.taskManagers[s.register.Instance] = s
	if c.closed {
		s.close()
	}
	return c.registry
}

func (c *connections) leaveTaskManager(s *session) *registry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taskManagers[s.register.Instance] == s {
		delete(c.taskManagers, s.register.Instance)
	}
	return c.registry
}

func (c *connections) enterStandby(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.standbys[s] = true
	if c.closed {
		s.close()
	}
}

func (c *connections) leaveStandby(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.standbys, s)
}

// listStandbys are the sessions of other JobManagers.
func (c *connections) listStandbys() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*session, 0, len(c.standbys))
	for s := range c.standbys {
		list = append(list, s)
	}
	return list
}

// close ends every session, those to come included.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, s := range c.taskManagers {
		s.close()
	}
	for s := range c.standbys {
		s.close()
	}
}
