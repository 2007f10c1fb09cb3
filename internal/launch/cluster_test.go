package launch_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/internal/hostcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// TestUsedStorage: somebody who turns high availability on for a cluster that has run without is told at the start why that
// does not do, and what does.
func TestUsedStorage(t *testing.T) {
	u, p := newUser(t, os.Getuid()), ports(t, 3)
	u.configured(map[string]string{"perennial.yaml": fmt.Sprintf("rest.port: %d\njobmanager.rpc.port: 0\n", p[0])})
	u.types("jobmanager.sh", "start").expect(t, 0)
	u.types("jobmanager.sh", "stop").expect(t, 0)
	three := fmt.Sprintf("jobmanagers=localhost:%d,localhost:%d,localhost:%d", p[0], p[1], p[2])
	u.types("jobmanager.sh", "start", "localhost", strconv.Itoa(p[0]), "-D", "high-availability=embedded", "-D", three).
		expect(t, 0, "not ready yet", "the data directory is empty, and this cluster has been used", "perennial metadata export")
}

// TestCluster (M12, M13): three JobManagers that are the quorum themselves, two TaskManagers, a job that is kept
// over a stop and a start, and one that is cancelled with the cluster.
func TestCluster(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		p := ports(t, 3)
		u.configured(map[string]string{
			"perennial.yaml": "high-availability: embedded\ntaskmanager.timeout: 1s\n",
			"masters":        fmt.Sprintf("# this host\nlocalhost:%d\nlocalhost:%d\n\nlocalhost:%d\n", p[0], p[1], p[2]),
			"workers":        "localhost\nlocalhost # twice\n",
		})
		startStopStart(t, u)
	})
}

// TestClusterOnManagedZooKeeper (M4, M10): the same on three servers of conf/zoo.cfg.
func TestClusterOnManagedZooKeeper(t *testing.T) { eachUser(t, clusterOnManagedZooKeeper) }

func clusterOnManagedZooKeeper(t *testing.T, u *user) {
	p := ports(t, 12)
	var lines, quorum []string
	for i, id := range []int{1, 2, 30} {
		lines = append(lines, fmt.Sprintf("server.%d=localhost:%d:%d;%d", id, p[3*i], p[3*i+1], p[3*i+2]))
		quorum = append(quorum, fmt.Sprintf("localhost:%d", p[3*i+2]))
	}
	u.configured(map[string]string{
		"zoo.cfg":        "tickTime=500\n" + strings.Join(lines, "\n") + "\n",
		"perennial.yaml": "taskmanager.timeout: 1s\nzookeeper.quorum: " + strings.Join(quorum, ",") + "\n",
		"masters":        fmt.Sprintf("localhost:%d\nlocalhost:%d\n", p[9], p[10]),
		"workers":        "localhost\n",
	})
	r := u.types("start-zookeeper-quorum.sh")
	if strings.Contains(r.Stderr, "needs Java") || strings.Contains(r.Stderr, "there is no ZooKeeper") {
		t.Fatalf("%v: %s", testensemble.ErrNotInstalled, r.Stderr) // make zookeeper installs it
	}
	r.expect(t, 0, "zookeeper 1 is started", "zookeeper 2 is started", "zookeeper 30 is started")
	eventually(t, func() error {
		if r := u.types("zookeeper.sh", "status"); strings.Count(r.Stdout, ", follower;") != 2 || strings.Count(r.Stdout, ", leader;") != 1 {
			return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	u.types("zookeeper.sh", "start", "30").expect(t, 1, "zookeeper 30 runs already")
	u.types("start-zookeeper-quorum.sh").expect(t, 0, "zookeeper 30 runs already")
	if id, err := os.ReadFile(filepath.Join(u.Dir, "data", "zookeeper", "30", "myid")); string(id) != "30\n" || err != nil {
		t.Errorf("myid is %q %v", id, err)
	}
	startStopStart(t, u)
	u.types("zookeeper.sh", "stop", "2").expect(t, 0, "zookeeper 2, process ")
	u.types("zookeeper.sh", "status", "2").expect(t, 1)
	u.types("stop-zookeeper-quorum.sh").expect(t, 0, "zookeeper 1, process ", "zookeeper 30, process ")
}

func startStopStart(t *testing.T, u *user) {
	t.Helper()
	jobManagers := len(strings.Split(u.masters(), "localhost:")) - 1
	u.types("start-cluster.sh").expect(t, 0, "localhost: jobmanager "+strconv.Itoa(jobManagers)+" (localhost:", "localhost: taskmanager 1 (localhost) is started")
	job := u.run(t)
	u.types("start-cluster.sh").expect(t, 0, "jobmanager 1 (localhost:", "runs already", "taskmanager 1 (localhost) runs already")
	if pids := u.pids("jobmanager"); len(pids) != jobManagers {
		t.Errorf("JobManagers %v", pids)
	}
	u.types("stop-cluster.sh").expect(t, 0, "jobmanager 1 (localhost:", "taskmanager 1 (localhost), process ")
	if pids := append(u.pids("jobmanager"), u.pids("taskmanager")...); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	u.types("start-cluster.sh").expect(t, 0)
	u.becomes(t, job, "RUNNING")
	u.types("stop-cluster.sh", "--cancel-jobs").expect(t, 0, "job "+job+" is CANCELED")
	u.types("start-cluster.sh").expect(t, 0)
	u.becomes(t, job, "CANCELED")
	u.types("stop-cluster.sh").expect(t, 0)
}

func (u *user) masters() string {
	u.t.Helper()
	text, err := os.ReadFile(filepath.Join(u.Dir, "conf", "masters"))
	if err != nil {
		u.t.Fatal(err)
	}
	return string(text)
}

// run submits a job that takes longer than any test.
func (u *user) run(t *testing.T, options ...string) string {
	t.Helper()
	input := filepath.Join(u.Dir, "input")
	if err := os.WriteFile(input, []byte(strings.Repeat("one two three\n", 100_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"run", "-d"}, options...)
	args = append(args, filepath.Join(home, "wordcount"), "--", "--input", input, "--output", filepath.Join(u.Dir, "output"), "--rate", "100")
	r := u.types("perennial", args...)
	r.expect(t, 0)
	return strings.TrimSpace(r.Stdout)
}

func (u *user) becomes(t *testing.T, job, state string) {
	t.Helper()
	eventually(t, func() error {
		var j struct{ State string }
		r := u.types("perennial", "info", "--json", job)
		if err := json.Unmarshal([]byte(r.Stdout), &j); err != nil || j.State != state {
			return fmt.Errorf("job %s is %q, want %s (%w): %s", job, j.State, state, err, r.Stderr)
		}
		return nil
	})
}

// TestNobodyListens: a cluster is stopped as a whole, also where nobody reads what is said.
func TestNobodyListens(t *testing.T) {
	u := newUser(t, os.Getuid())
	u.oneHost()
	u.types("start-cluster.sh").expect(t, 0)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := u.command(filepath.Join(home, "bin", "stop-cluster.sh"))
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if pids := append(u.pids("jobmanager"), u.pids("taskmanager")...); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
}

// oneHost configures a cluster of a JobManager and a TaskManager.
func (u *user) oneHost() {
	p := ports(u.t, 2)
	u.configured(map[string]string{"perennial.yaml": fmt.Sprintf("rest.port: %d\njobmanager.rpc.port: %d\n", p[0], p[1]), "workers": "localhost\n"})
}

// TestStopsWhatItStarted: what start-cluster.sh started is stopped, also when the configuration has changed since, and what
// it did not is named. Whatever was started by hand in the place of one that ended is the cluster's.
func TestStopsWhatItStarted(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		u.oneHost()
		u.types("start-cluster.sh", "-D", "rest.port="+strconv.Itoa(ports(t, 1)[0])).expect(t, 0)
		u.types("taskmanager.sh", "start").expect(t, 0)
		u.types("stop-cluster.sh").expect(t, 0, "jobmanager 1 (localhost:", "taskmanager 2 still runs, as process ", "taskmanager.sh stop-all")
		if pids := u.pids("jobmanager"); len(pids) > 0 {
			t.Errorf("processes %v are left", pids)
		}
		u.types("taskmanager.sh", "stop-all").expect(t, 0, "taskmanager 2, process ")

		u.types("start-cluster.sh").expect(t, 0)
		if err := syscall.Kill(u.pids("jobmanager")[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if r := u.types("jobmanager.sh", "status"); r.Status != 1 {
				return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
			}
			return nil
		})
		u.types("jobmanager.sh", "start").expect(t, 0, "jobmanager 1 (localhost:")
		u.types("taskmanager.sh", "stop").expect(t, 0)
		u.types("taskmanager.sh", "start").expect(t, 0, "taskmanager 1 is started")
		u.types("start-cluster.sh").expect(t, 0, "jobmanager 1 (localhost:", "taskmanager 1 runs already")
		u.types("stop-cluster.sh").expect(t, 0)
		if pids := append(u.pids("jobmanager"), u.pids("taskmanager")...); len(pids) > 0 {
			t.Errorf("processes %v are left", pids)
		}
	})
}

// TestTwoStartsAtOnce: each process is started by one of them.
func TestTwoStartsAtOnce(t *testing.T) {
	u := newUser(t, os.Getuid())
	u.oneHost()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { u.types("start-cluster.sh").expect(t, 0, "taskmanager 1 (localhost)") })
	}
	both.Wait()
	if pids := append(u.pids("jobmanager"), u.pids("taskmanager")...); len(pids) != 2 {
		t.Errorf("processes %v", pids)
	}
}

// TestInterruptedStop: nothing is killed for it, and nothing more is asked to end.
func TestInterruptedStop(t *testing.T) {
	u := newUser(t, os.Getuid())
	u.oneHost()
	u.types("start-cluster.sh").expect(t, 0)
	jobManager := u.pids("jobmanager")[0]
	if err := syscall.Kill(jobManager, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(jobManager, syscall.SIGCONT) }()
	var out strings.Builder
	cmd := u.command(filepath.Join(home, "bin", "stop-cluster.sh"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return pending(jobManager, syscall.SIGTERM) })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	result{hostcluster.Result{Stdout: out.String(), Status: cmd.ProcessState.ExitCode()}}.expect(t, 1, "was asked to end, and whether it does was not waited for", "interrupted")
	u.types("jobmanager.sh", "status").expect(t, 0)
	u.types("taskmanager.sh", "status").expect(t, 0)
	if err := syscall.Kill(jobManager, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	u.types("stop-cluster.sh").expect(t, 0, "taskmanager 1 (localhost), process ")
}

// pending fails unless a stopped process was sent a signal.
func pending(pid int, s syscall.Signal) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "ShdPnd:")
	word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	set, err := strconv.ParseUint(word, 16, 64)
	if err == nil && set&(1<<(s-1)) == 0 {
		err = fmt.Errorf("signals %x are pending, and not %v", set, s)
	}
	return err
}

// sshTo gives the user an ssh by which every other host is this one, but for those of a shell's case. What it is asked for is in
// files with this name, and behind it the host's.
func (u *user) sshTo(cases string) (asked string) {
	u.t.Helper()
	tools := filepath.Join(u.Dir, "tools")
	if err := os.Mkdir(tools, 0o755); err != nil {
		u.t.Fatal(err)
	}
	asked = filepath.Join(u.Dir, "asked")
	ssh := `#!/bin/sh
for host; do case $host in *.*.*.*) break;; esac; done
echo "$*" >> "` + asked + `-$host"
case $host in
` + cases + `
esac
tee -a "` + asked + `-$host" | exec env -i PATH="$PATH" sh -s
`
	if err := os.WriteFile(filepath.Join(tools, "ssh"), []byte(ssh), 0o755); err != nil {
		u.t.Fatal(err)
	}
	u.Path = tools + ":" + os.Getenv("PATH")
	return asked
}

// TestSilentMaster: it does not hold up the TaskManagers. It says nothing until one of them was asked for.
func TestSilentMaster(t *testing.T) {
	const silent, other = "203.0.113.8", "203.0.113.7"
	u := newUser(t, os.Getuid())
	u.configured(map[string]string{"perennial.yaml": "zookeeper.quorum: 127.0.0.1:1\n", "masters": silent + "\n", "workers": other + "\n"})
	u.sshTo(silent + `) while [ ! -e "` + filepath.Join(u.Dir, "asked-"+other) + `" ]; do sleep 0.1; done; echo "Connection timed out" >&2; exit 255;;`)
	u.types("start-cluster.sh").expect(t, 1, silent+": ssh "+silent+": Connection timed out", other+": taskmanager 1 ("+other+") is started")
	u.Path = ""
	u.types("taskmanager.sh", "stop").expect(t, 0)
}

// TestOtherHosts: ssh is asked for those alone; one that cannot be reached is named, and the others
// go on. The other host is this one, behind an ssh of the test's own.
func TestOtherHosts(t *testing.T) {
	const other, away = "203.0.113.7", "203.0.113.8"
	eachUser(t, func(t *testing.T, u *user) {
		p := ports(t, 2)
		u.configured(map[string]string{
			"perennial.yaml": fmt.Sprintf("rest.port: %d\njobmanager.rpc.port: %d\n", p[0], p[1]),
			"workers":        "localhost\n" + away + "\n" + other + "\n" + other + "\n",
		})
		asked := u.sshTo(away + `) echo "Permission denied (publickey,password)." >&2; exit 255;;`)
		u.Env = append(u.Env, "PERENNIAL_SSH_OPTS=-p 2222 -l it's", "PERENNIAL_CLUSTER_ID=it's")
		r := u.types("start-cluster.sh", "-D", "log.level=debug")
		r.expect(t, 1, away+": ssh "+away+": Permission denied", "ssh -o BatchMode=yes "+away+" true",
			"localhost: jobmanager 1 (localhost:", other+": taskmanager ", "("+other+") is started", "localhost: taskmanager ",
			"rest.bind-host, jobmanager.bind-host, taskmanager.bind-host is a loopback address")
		if n := strings.Count(r.Stderr, "ssh "+away+":"); n != 1 {
			t.Errorf("the host that is away is named %d times:\n%s", n, r.Stderr)
		}
		if exists(asked + "-localhost") {
			t.Error("ssh was asked for this host")
		}
		text, err := os.ReadFile(asked + "-" + other)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"-o BatchMode=yes -p 2222 -l it's -o ConnectTimeout=10", " -- " + other + " sh -s\n",
			`export PERENNIAL_CLUSTER_ID='it'\''s'`, "host start --conf '" + filepath.Join(u.Dir, "conf") + "' -D 'log.level=debug' 'taskmanager@" + other + "' 'taskmanager@" + other + "'\n",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("ssh was not given %q:\n%s", want, text)
			}
		}
		if pids := u.pids("taskmanager"); len(pids) != 3 {
			t.Errorf("TaskManagers %v, want one here and two behind ssh", pids)
		}
		u.types("stop-cluster.sh").expect(t, 1, away+": ssh "+away, "localhost: jobmanager 1", "taskmanager ", "has ended")
		if pids := append(u.pids("jobmanager"), u.pids("taskmanager")...); len(pids) > 0 {
			t.Errorf("processes %v are left", pids)
		}
	})
}
