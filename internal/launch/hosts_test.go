package launch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/testensemble"
	"github.com/perennial-io/perennial/internal/testhosts"
)

// site is a cluster on hosts of their own: JobManagers on the first three, TaskManagers on the next four. The last
// of these is where the person types.
type site struct {
	*testhosts.Hosts
	*user
	t *testing.T
}

const (
	siteMasters = 3
	siteWorkers = 4
)

// newSite writes the files of conf/; quorum is ZooKeeper's, or "" for an embedded one.
func newSite(t *testing.T, quorum string, more map[string]string) *site {
	t.Helper()
	s := &site{testhosts.Start(t, siteMasters+siteWorkers), newUser(t, os.Getuid()), t}
	s.on = s.List[siteMasters]
	s.env = append(s.env, "PERENNIAL_SSH_OPTS="+s.SSHOptions(), "PERENNIAL_DATA_DIR="+s.Local)
	settings := "storage.dir: " + filepath.Join(s.dir, "storage") + "\nrest.bind-host: 0.0.0.0\njobmanager.bind-host: 0.0.0.0\ntaskmanager.bind-host: 0.0.0.0\ntaskmanager.slots: 2\ntaskmanager.timeout: 2s\ncheckpoint.interval: 500ms\n"
	if quorum == "" {
		settings += "high-availability: embedded\n"
	} else {
		settings += "zookeeper.quorum: " + quorum + "\n"
	}
	files := map[string]string{"perennial.yaml": settings, "masters": s.list(0, siteMasters), "workers": s.list(siteMasters, siteMasters+siteWorkers)}
	maps.Copy(files, more)
	s.configured(files)
	return s
}

// list is the names of some hosts, one on a line.
func (s *site) list(from, to int) string {
	var b strings.Builder
	for _, h := range s.List[from:to] {
		fmt.Fprintln(&b, h.Name)
	}
	return b.String()
}

// ensemble is a zoo.cfg of three servers, and where clients find them.
func ensemble(names ...string) (config, quorum string) {
	var servers, clients []string
	for i, name := range names {
		servers = append(servers, fmt.Sprintf("server.%d=%s:2888:3888;2181", i+1, name))
		clients = append(clients, name+":2181")
	}
	return "tickTime=500\n" + strings.Join(servers, "\n") + "\n", strings.Join(clients, ",")
}

// info is all about a job.
func (s *site) info(id string) (j client.Job, err error) {
	r := s.types("perennial", "info", "--json", id)
	if err := json.Unmarshal([]byte(r.stdout), &j); err != nil {
		return j, fmt.Errorf("%s: %w", r.stderr, err)
	}
	return j, nil
}

// running waits until every subtask of a job runs, or has finished, after so many restarts.
func (s *site) running(id string, restarts int) map[string]client.Subtask {
	s.t.Helper()
	all := map[string]client.Subtask{}
	eventually(s.t, func() error {
		clear(all)
		j, err := s.info(id)
		if err != nil {
			return err
		}
		for _, v := range j.Vertices {
			for _, one := range v.Subtasks {
				all[fmt.Sprintf("%s/%d", v.Name, one.Index)] = one
				if one.State != "RUNNING" && one.State != "FINISHED" || one.PID == 0 {
					return fmt.Errorf("%s: %+v", v.Name, one)
				}
			}
		}
		if len(all) == 0 || j.Restarts != restarts {
			return fmt.Errorf("%s after %d restarts, want %d: %s", j.State, j.Restarts, restarts, j.Failure)
		}
		return nil
	})
	return all
}

// leader is the host of the JobManager that leads, once one does that is not on a host that is away.
func (s *site) leader(away *testhosts.Host) *testhosts.Host {
	s.t.Helper()
	var found *testhosts.Host
	eventually(s.t, func() error {
		r := s.types("perennial", "jobmanagers", "--json")
		var all []client.JobManager
		if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
			return fmt.Errorf("%s%s: %w", r.stdout, r.stderr, err)
		}
		for _, one := range all {
			for _, h := range s.List {
				if one.Role == "leader" && h != away && strings.HasPrefix(one.REST, h.Name+":") {
					found = h
				}
			}
		}
		if found == nil {
			return fmt.Errorf("nobody leads: %s", r.stdout)
		}
		return nil
	})
	return found
}

// TestSeveralHosts: a cluster is started from one host, on all of them; a host of a JobManager is cut off, and comes
// back; a host of a TaskManager dies; and when all is stopped no process is left on any host.
func TestSeveralHosts(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		s := newSite(t, "", nil)
		s.life(func() {})
	})
	t.Run("managed ZooKeeper", func(t *testing.T) {
		zoo, quorum := ensemble("alpha", "bravo", "charlie")
		s := newSite(t, quorum, map[string]string{"zoo.cfg": zoo})
		s.quorum(s.user, "start")
		s.life(func() { s.quorum(s.user, "stop") })
	})
	t.Run("dedicated ZooKeeper", func(t *testing.T) { // somebody else's, which this cluster's files do not mention
		zoo, quorum := ensemble("delta", "echo", "foxtrot")
		s := newSite(t, quorum, nil)
		other := newUser(t, os.Getuid())
		other.on, other.env = s.on, append(other.env, s.env...)
		other.configured(map[string]string{"zoo.cfg": zoo})
		s.quorum(other, "start")
		s.life(func() { s.quorum(other, "stop") })
	})
}

func (s *site) quorum(u *user, action string) {
	s.t.Helper()
	r := u.types(action + "-zookeeper-quorum.sh")
	if strings.Contains(r.stderr, "needs Java") || strings.Contains(r.stderr, "there is no ZooKeeper") {
		s.t.Fatalf("%v: %s", testensemble.ErrNotInstalled, r.stderr) // make zookeeper installs it
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
		r := s.types("perennial", "jobmanagers", "--json")
		if strings.Count(r.stdout, `"role": "standby"`) != siteMasters-1 {
			return fmt.Errorf("%s%s", r.stdout, r.stderr)
		}
		return nil
	})
	if now := s.leader(nil); now != next {
		t.Errorf("%s leads, and %s did before %s came back", now.Name, next.Name, cut.Name)
	}

	worker := s.List[siteMasters+siteWorkers-1]
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

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sameSubtask(a, b client.Subtask) bool { return a.PID == b.PID && a.Attempt == b.Attempt }
