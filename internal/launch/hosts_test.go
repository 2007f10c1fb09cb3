package launch_test

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/hostcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
	"github.com/perennial-io/perennial/internal/testhosts"
)

// site is a cluster on hosts of their own, in a test.
type site struct {
	*hostcluster.Cluster
	*user
}

// newSite makes the hosts, and others beside them, and writes the files of conf/; quorum is ZooKeeper's, or "" for an
// embedded one.
func newSite(t *testing.T, others int, quorum string, more map[string]string) *site {
	t.Helper()
	hosts, u := testhosts.Start(t, hostcluster.Masters+hostcluster.Workers+others), newUser(t, os.Getuid())
	u.Env = append(u.Env, "PERENNIAL_DATA_DIR="+hosts.Local)
	c, err := hostcluster.New(hosts, u.Person, quorum, "taskmanager.slots: 2\ntaskmanager.timeout: 2s\ncheckpoint.interval: 500ms\n", more)
	try(t, err)
	return &site{c, u}
}

// running waits until every subtask of a job runs, or has finished, after so many restarts.
func (s *site) running(id string, restarts int) (all map[string]client.Subtask) {
	s.t.Helper()
	eventually(s.t, func() (err error) {
		var j client.Job
		if j, all, err = s.Subtasks(s.t.Context(), id); err == nil && j.Restarts != restarts {
			err = fmt.Errorf("%s after %d restarts, want %d: %s", j.State, j.Restarts, restarts, j.Failure)
		}
		return err
	})
	return all
}

// leader is the host of the JobManager that leads, once one does that is not on a host that is away.
func (s *site) leader(away *testhosts.Host) (found *testhosts.Host) {
	s.t.Helper()
	eventually(s.t, func() (err error) {
		if found, _, err = s.Standing(s.t.Context()); err == nil && found == away {
			err = fmt.Errorf("%s still leads", found.Name)
		}
		return err
	})
	return found
}

// worker is a host on which some subtasks run, and where nobody types. A TaskManager that came after the job was
// deployed has none.
func (s *site) worker(subtasks map[string]client.Subtask) *testhosts.Host {
	s.t.Helper()
	for _, subtask := range subtasks {
		h, err := s.HostOf(s.t.Context(), subtask)
		try(s.t, err)
		if h != s.On {
			return h
		}
	}
	s.t.Fatalf("no host but %s has a subtask: %v", s.On.Name, subtasks)
	return nil
}

// TestSeveralHosts: a cluster is started from one host, on all of them; a host of a JobManager is cut off, and comes
// back; a host of a TaskManager dies; and when all is stopped no process is left on any host.
func TestSeveralHosts(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		s := newSite(t, 0, "", nil)
		s.life(func() {})
	})
	t.Run("managed ZooKeeper", func(t *testing.T) {
		zoo, quorum := hostcluster.Ensemble("alpha", "bravo", "charlie")
		s := newSite(t, 0, quorum, map[string]string{"zoo.cfg": zoo})
		s.quorum(s.user, "start")
		s.life(func() { s.quorum(s.user, "stop") })
	})
	t.Run("dedicated ZooKeeper", func(t *testing.T) { // somebody else's, which this cluster's files do not mention
		zoo, quorum := hostcluster.Ensemble("hotel", "india", "juliett")
		s := newSite(t, 3, quorum, nil)
		other := newUser(t, os.Getuid())
		other.On, other.Env = s.On, append(other.Env, s.Env...)
		other.configured(map[string]string{"zoo.cfg": zoo})
		s.quorum(other, "start")
		s.life(func() { s.quorum(other, "stop") })
	})
}

func (s *site) quorum(u *user, action string) {
	s.t.Helper()
	r := u.types(action + "-zookeeper-quorum.sh")
	if strings.Contains(r.Stderr, "needs Java") || strings.Contains(r.Stderr, "there is no ZooKeeper") {
		s.t.Fatalf("%v: %s", testensemble.ErrNotInstalled, r.Stderr) // make zookeeper installs it
	}
	r.expect(s.t, 0, "zookeeper 1", "zookeeper 2", "zookeeper 3")
}

// life is that of the cluster. The output goes on being right: the job has checkpoints, which are on shared files.
func (s *site) life(stopped func()) {
	t := s.t
	t.Helper()
	s.types("start-cluster.sh").expect(t, 0, "alpha: jobmanager 1 (alpha", "bravo: jobmanager 1 (bravo", "charlie: jobmanager 1 (charlie",
		"delta: taskmanager 1 (delta) is started", "echo: taskmanager 1", "foxtrot: taskmanager 1", "golf: taskmanager 1")
	id := s.user.run(t, "-p", "4")
	before := s.running(id, 0)

	cut := s.leader(nil)
	try(t, cut.CutOff())
	next := s.leader(cut)
	if now := s.running(id, 0); !maps.EqualFunc(before, now, sameSubtask) {
		t.Errorf("the loss of %s touched tasks: %v became %v", cut.Name, before, now)
	}
	try(t, cut.Join())
	eventually(t, func() error { // it stands by
		_, standbys, err := s.Standing(t.Context())
		if err == nil && standbys != hostcluster.Masters-1 {
			err = fmt.Errorf("%d stand by", standbys)
		}
		return err
	})
	if now := s.leader(nil); now != next {
		t.Errorf("%s leads, and %s did before %s came back:\n%s", now.Name, next.Name, cut.Name, s.types("perennial", "failovers").Stdout)
	}

	worker := s.worker(before)
	try(t, worker.Kill())
	s.running(id, 1)
	s.types("stop-cluster.sh", "--cancel-jobs").expect(t, 1, "job "+id+" is CANCELED", worker.Name+": ")
	stopped()
	for _, h := range s.List {
		if left := h.Processes(); len(left) > 0 {
			t.Errorf("on %s there are still %v", h.Name, left)
		}
	}
}

func sameSubtask(a, b client.Subtask) bool { return a.PID == b.PID && a.Attempt == b.Attempt }
