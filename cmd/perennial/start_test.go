package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/storage"
)

// taken is a port that somebody listens on.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// nobody is a port that nobody listens at.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// below is the REST port whose Raft port is taken.
func below(t *testing.T, raft string) string {
	t.Helper()
	n, err := strconv.Atoi(raft)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(n - 1000)
}

// TestCannotStart: what keeps a process from starting is told, and ends it with status 1.
func TestCannotStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	port := taken(t)
	rest := below(t, port)
	members := "127.0.0.1:" + rest + ",127.0.0.1:1,127.0.0.1:2"
	for name, test := range map[string]struct {
		line string
		want []string
	}{
		"RPC port":              {"jobmanager -D rest.port=0 -D jobmanager.rpc.port=" + port, []string{port, "address already in use", "set jobmanager.rpc.port"}},
		"API port":              {"jobmanager -D jobmanager.rpc.port=0 -D rest.port=" + port, []string{port, "address already in use", "set rest.port"}},
		"data port":             {"taskmanager -D taskmanager.data.port=" + port, []string{port, "address already in use", "set taskmanager.data.port"}},
		"Raft's port":           {"jobmanager -D high-availability=embedded -D jobmanagers=" + members + " -D rest.port=" + rest, []string{port, "the port is in use"}},
		"bind host":             {"jobmanager -D jobmanager.rpc.port=0 -D rest.bind-host=203.0.113.7", []string{"203.0.113.7", "rest.bind-host", "whoever reaches this port can run code here"}},
		"storage is a file":     {"jobmanager -D storage.dir=" + file, []string{"storage.dir", file, "name a directory"}},
		"storage below a file":  {"taskmanager -D storage.dir=" + file + "/x", []string{"storage.dir", file, "name a directory"}},
		"storage elsewhere":     {"jobmanager -D storage.dir=ftp://host/x", []string{"storage.dir", "ftp:// is not known", "s3://bucket/prefix"}},
		"storage in S3":         {"jobmanager -D storage.dir=s3://bucket/x -D storage.s3.endpoint=http://127.0.0.1:" + nobody(t), []string{"storage.dir", "s3://bucket/x cannot be used", "connection refused", "storage.s3.endpoint"}},
		"local coordination":    {"jobmanager -D coordination.local.dir=" + file, []string{"coordination.local.dir", file}},
		"work directory":        {"taskmanager -D taskmanager.dir=" + file, []string{"taskmanager.dir", file}},
		"work directory in use": {"taskmanager -D taskmanager.dir=" + workDir(), []string{"another TaskManager uses", "taskmanager.dir"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typed(t, strings.Fields(test.line)...).expect(t, exitFailed, append(test.want, "perennial: ")...)
		})
	}
}

// workDir is the directory of the shared cluster's TaskManager.
func workDir() string {
	return filepath.Join(filepath.Dir(shared.TaskManagers[0].Log), "taskmanager-1.d")
}

// TestWaitsAloud: a process that waits for coordination says so, goes on, and ends at once and
// well when it is interrupted; a question says so and fails.
func TestWaitsAloud(t *testing.T) {
	t.Parallel()
	const nobody = "127.0.0.1:1" // a port that nobody gives away
	ports, members := quorum(t)
	for name, test := range map[string]struct {
		line   string
		says   string
		status int
	}{
		"ZooKeeper away":            {"jobmanager -D rest.port=0 -D zookeeper.quorum=" + nobody, "connection refused", 0},
		"ZooKeeper away, tasks":     {"taskmanager -D zookeeper.quorum=" + nobody, "connection refused", 0},
		"a name that is none":       {"jobmanager -D rest.port=0 -D zookeeper.quorum=nosuch.invalid:2181", "nosuch.invalid:2181 does not resolve", 0},
		"etcd away":                 {"jobmanager -D rest.port=0 -D high-availability=etcd -D etcd.endpoints=" + nobody, "etcd does not answer", 0},
		"no majority":               {"jobmanager -D rest.port=" + ports[0] + " " + strings.Join(members, " "), "waiting for a majority", 0},
		"a question to ZooKeeper":   {"list -D zookeeper.quorum=" + nobody, " (coordination is not reachable", exitFailed},
		"a question to nobody":      {"list -D rest.port=1", "no leading JobManager answers yet; trying on until ", exitFailed},
		"a job for nobody":          {"run -D rest.port=1 " + binaries.mistakes, " (JobManager localhost:1: ", exitFailed},
		"a TaskManager with nobody": {"taskmanager -D jobmanager.rpc.port=1 -D storage.dir=" + sharedStorage(), "no connection to a JobManager", 0},
		"a TaskManager elsewhere":   {"taskmanager -D jobmanager.rpc.port=1", "storage.dir must be the same directory everywhere", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := inBackground(t, t.TempDir(), strings.Fields(test.line)...)
			b.says(t, test.says)
			if status, took := b.interrupt(t); status != test.status || took > 3*time.Second {
				t.Errorf("interrupted, it ended with status %d after %v, want %d at once", status, took, test.status)
			}
		})
	}
}

func sharedStorage() string {
	return filepath.Join(filepath.Dir(shared.TaskManagers[0].Log), "storage")
}

// TestOtherStorage: a TaskManager with the storage of another cluster is refused, and both sides
// say what to do.
func TestOtherStorage(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	store, err := storage.Open(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateIncarnation(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	b := inBackground(t, t.TempDir(), "taskmanager", "-D", "jobmanager.rpc.port="+rpcPort(t), "-D", "storage.dir="+other)
	b.says(t, "storage.dir must be the same directory everywhere")
	if err := holds(shared.JobManagers[0].Log, "refused a TaskManager"); err != nil {
		t.Error(err)
	}
	b.interrupt(t)
}

// TestEmbeddedDirectories: members that are started in one directory keep apart, and one that is
// pointed to another's data refuses.
func TestEmbeddedDirectories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ports, members := quorum(t)
	first := append([]string{"jobmanager", "-D", "rest.port=" + ports[0]}, members...)
	second := append([]string{"jobmanager", "-D", "rest.port=" + ports[1], "-D", "coordination.embedded.dir=quorum-" + ports[0]}, members...)
	b := inBackground(t, dir, first...)
	b.says(t, "waiting for a majority")
	b.interrupt(t)
	finish(t, command(limited(t), dir, second...)).expect(t, exitFailed,
		"quorum-"+ports[0]+" is that of JobManager 127.0.0.1:"+ports[0], "a directory of its own")
}

// quorum is the REST ports of three JobManagers whose Raft ports were free a moment ago, and how
// they are configured.
func quorum(t *testing.T) (rest, flags []string) {
	t.Helper()
	var members []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, raft, _ := net.SplitHostPort(l.Addr().String())
		rest = append(rest, below(t, raft))
		members = append(members, "127.0.0.1:"+below(t, raft))
	}
	return rest, []string{"-D", "high-availability=embedded", "-D", "jobmanagers=" + strings.Join(members, ",")}
}
