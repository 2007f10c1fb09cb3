package taskmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/perennial-io/perennial/internal/rpc"
)

// keepInstances is how many instances a work directory remembers. A leader wants to hear of those that it may
// still take for living: the last, and others if starts failed.
const keepInstances = 16

// instances are those that have used a work directory, the oldest first, in a file. Whoever holds the lock of the
// directory, and has ended what they have left there, can say that they are gone, if it sees the processes that they saw. A directory
// may have come from another host, on a volume or over a network: what ran there may run on, where nobody reaches it. The goroutine of Run has it.
type instances struct {
	path string
	boot string // of this host; "": not known
	list []noted
}

// noted is an instance in the file.
type noted struct {
	rpc.Predecessor
	Boot string `json:"boot,omitempty"` // of its host; "": not known, as of a release that did not note it
}

// openInstances reads the file. One that cannot be read is as none: then time-outs have to do.
func openInstances(path, boot string) instances {
	s := instances{path: path, boot: boot}
	if b, err := os.ReadFile(path); err != nil || json.Unmarshal(b, &s.list) != nil {
		s.list = nil
	}
	return s
}

// enter notes that an instance begins, before anybody hears of it, and returns those before it that are known to be gone.
func (s *instances) enter(instance string) (before []rpc.Predecessor, err error) {
	for _, i := range s.list {
		if i.Left || i.Boot != "" && i.Boot == s.boot {
			before = append(before, i.Predecessor)
		}
	}
	s.list = append(s.list, noted{rpc.Predecessor{Instance: instance}, s.boot})
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
