package launch_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/hostcluster"
)

// TestSeeingSeveralHosts: what doctor and logs tell of a cluster on several hosts: of all of them while they are well, and of
// who is not when one stands still or is cut off.
func TestSeeingSeveralHosts(t *testing.T) {
	s := newSite(t, 0, "", nil)
	printing := filepath.Join(s.Dir, "printing")
	if out, err := exec.Command("go", "build", "-o", printing, "../../cmd/perennial/testdata/mistakes").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.types("start-cluster.sh").expect(t, 0)
	r := s.types("perennial", "run", "-d", "-p", "4", printing, "--", "--what", "prints")
	r.expect(t, 0)
	id := strings.TrimSpace(r.Stdout)
	of := s.running(id, 0)
	var managers []client.TaskManager
	eventually(t, func() error {
		r := s.types("perennial", "taskmanagers", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &managers); err != nil {
			return fmt.Errorf("%s%s: %w", r.Stdout, r.Stderr, err)
		}
		if len(managers) != hostcluster.Workers {
			return fmt.Errorf("%d TaskManagers: %s", len(managers), r.Stdout)
		}
		return nil
	})
	r = s.types("perennial", "doctor", "--running")
	r.expect(t, 0, "what each of 7 processes wrote, the leader reads")
	for _, m := range managers {
		if !strings.Contains(r.Stdout, m.ID+" on "+m.Host) {
			t.Errorf("doctor says nothing of %s on %s:\n%s", m.ID, m.Host, r.Stdout)
		}
	}
	logs := s.types("perennial", "logs", id)
	logs.expect(t, 0)
	for _, one := range of {
		if !strings.Contains(logs.Stdout, one.TaskManager) {
			t.Errorf("there is no output of %s:\n%s", one.TaskManager, logs.Stdout)
		}
	}
	for _, m := range managers {
		s.types("perennial", "logs", "taskmanager", m.Host).expect(t, 0, "TaskManager offers slots")
	}
	for _, h := range s.List[:hostcluster.Masters] {
		s.types("perennial", "logs", "jobmanager", h.Name+":8081", "-n", "-1").expect(t, 0, "JobManager is up")
	}

	still := managers[len(managers)-1]
	if err := syscall.Kill(still.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.types("perennial", "logs", id).expect(t, 1, "what there is on TaskManager "+still.ID+" is missing here")
	if err := syscall.Kill(still.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	leader := s.leader(nil)
	for _, h := range s.List[:hostcluster.Masters] {
		if h != leader {
			h.CutOff()
			s.types("perennial", "doctor", "--running").expect(t, 1, "WRONG", h.Name+":8081", "of these are wrong")
			h.Join()
			break
		}
	}
	eventually(t, func() error {
		if r := s.types("perennial", "doctor", "--running"); r.Status != 0 {
			return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	s.types("stop-cluster.sh", "--cancel-jobs").expect(t, 0)
}
