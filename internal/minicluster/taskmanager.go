package minicluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/perennial-io/perennial/internal/discovery"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/taskmanager"
)

// TaskManager is a part of a Cluster. Its task processes are processes of the system.
type TaskManager struct {
	part
	dir string
}

func newTaskManager(c *Cluster, name string) *TaskManager {
	m := &TaskManager{part: part{c: c, name: name}, dir: filepath.Join(c.dir, name)}
	m.run, m.bury = m.runLife, m.endChildren
	return m
}

func (m *TaskManager) runLife(ctx context.Context, p *process) error {
	log := m.c.log.With("process", p.name)
	return taskmanager.Run(ctx, taskmanager.Config{
		Host: "127.0.0.1", Slots: m.c.config.Slots, WorkDir: m.dir, Storage: m.c.storage,
		Discover: discovery.Addresses(discovery.Members(m.open(p), log)),
		Dial:     m.c.network.dial(p), Version: "test", Logger: log,
		Timeouts: taskmanager.Timeouts{Silence: m.c.config.TaskManagerTimeout, Refused: 50 * time.Millisecond},
	})
}

// Instance is what the TaskManager calls itself at present: its latest registration.
func (m *TaskManager) Instance() string {
	events, _ := m.c.chronicle.read()
	name := m.life().name
	instance := ""
	for _, e := range events {
		if r, is := e.Message.(rpc.Register); is && e.Process == name {
			instance = r.Instance
		}
	}
	return instance
}

// endChildren kills the task processes of a TaskManager that is being killed, which would end
// with it, until it has ended itself. They are the ones that it has recorded for its
// successor; each stays recorded until it has been waited for, so the number is still its own.
func (m *TaskManager) endChildren(p *process) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		records, err := os.ReadDir(filepath.Join(m.dir, "processes"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			m.c.t.Errorf("look for the processes of %s: %v", p.name, err)
		}
		for _, r := range records {
			if pid, err := strconv.Atoi(r.Name()); err == nil && pid > 1 {
				if child, err := os.FindProcess(pid); err == nil {
					_ = child.Kill() // it may have just ended
				}
			}
		}
		select {
		case <-p.done:
			return
		case <-tick.C:
		}
	}
}
