package taskmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/perennial-io/perennial/internal/rpc"
)

// keepInstances is how many instances a work directory remembers. A leader wants to hear of those that it may
// still take for living: the last, and others if starts failed.
const keepInstances = 16

// instances are those that have used a work directory, the oldest first, in a file. Whoever holds the lock of the
// directory, and has ended what they have left there, can say that they are gone. The goroutine of Run has it.
type instances struct {
	path string
	list []rpc.Predecessor
}

// openInstances reads the file. One that cannot be read is as none: then time-outs have to do.
func openInstances(path string) instances {
	s := instances{path: path}
	if b, err := os.ReadFile(path); err != nil || json.Unmarshal(b, &s.list) != nil {
		s.list = nil
	}
	return s
}

// enter notes that an instance begins, before anybody hears of it, and returns those before it.
func (s *instances) enter(instance string) (before []rpc.Predecessor, err error) {
	before = slices.Clone(s.list)
	s.list = append(s.list, rpc.Predecessor{Instance: instance})
	s.list = s.list[max(len(s.list)-keepInstances, 0):]
	return before, s.store()
}

// leave notes that an instance which was told to end has ended its task processes: its Farewell may have
// found nobody.
func (s *instances) leave(instance string) error {
	for i := range s.list {
		if s.list[i].Instance == instance {
			s.list[i].Left = true
		}
	}
	return s.store()
}

// store replaces the file. It is on the disk then: a host that loses its power restarts tasks sooner for it.
func (s *instances) store() error {
	b, err := json.Marshal(s.list)
	if err != nil {
		return err
	}
	temp := s.path + ".tmp"
	f, err := os.Create(temp)
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(temp, s.path)
	}
	if err != nil {
		return fmt.Errorf("work directory of the TaskManager (taskmanager.dir): %w", err)
	}
	return nil
}
