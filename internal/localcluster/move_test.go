package localcluster_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
)

// TestMoveBetweenCoordinations: from a local file to the embedded quorum, and on to ZooKeeper, under a running job.
// TaskManagers know one address, at which one of the JobManagers is each time.
func TestMoveBetweenCoordinations(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1})
	j := f.submit(t, "long", 300_000, 10_000)
	before := f.running(t, j.id)
	stores := filepath.Join(f.dir, "storage")
	_, port, _ := strings.Cut(f.cluster.Rest[0], ":")
	rpc := f.cluster.RPCPort()

	backup, file := filepath.Join(f.dir, "backup"), filepath.Join(f.dir, "last")
	f.command(t, "", "metadata", "export", backup, "-D", "rest.port="+port)
	f.command(t, "after which its cluster went on", "metadata", "import", backup, "-D", "storage.dir="+stores)
	f.command(t, "leads this cluster", "metadata", "import", "--backup", backup, "-D", "storage.dir="+stores)
	f.command(t, "", "metadata", "export", "--final", file, "-D", "rest.port="+port)
	f.ended(t, f.cluster.JobManagers[0])
	f.command(t, "is not empty", "metadata", "import", file, "-D", "storage.dir="+stores, "-D", "coordination.local.dir=local") // of the data directory
	f.command(t, "storage.dir", "metadata", "import", file, "-D", "storage.dir="+t.TempDir())

	embedded := []string{"-D", "storage.dir=" + stores, "-D", "high-availability=embedded", "-D", "coordination.embedded.dir=" + t.TempDir()}
	f.command(t, "", append(embedded, "metadata", "import", file, "-D", "jobmanagers=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3")...)
	second := f.next(t, localcluster.Config{JobManagers: 3, Embedded: true, FirstRPC: rpc})
	if touched := localcluster.Touched(before, f.running(t, j.id)); len(touched) > 0 {
		t.Errorf("on the embedded quorum subtasks are not what they were: %+v", touched)
	}
	f.command(t, "leads this cluster", append(embedded, "metadata", "import", file, "-D", "jobmanagers="+strings.Join(second.Rest, ","))...) // again

	file = filepath.Join(f.dir, "second")
	f.command(t, "", append(embedded, "metadata", "export", "--final", file, "-D", "jobmanagers="+strings.Join(second.Rest, ","))...)
	for _, p := range second.JobManagers {
		f.ended(t, p)
	}
	zooKeeper := testensemble.Start(t, 3).Connect()
	f.command(t, "", "metadata", "import", file, "-D", "storage.dir="+stores, "-D", "zookeeper.quorum="+zooKeeper)
	f.next(t, localcluster.Config{JobManagers: 2, FirstRPC: rpc, Settings: map[string]string{"zookeeper.quorum": zooKeeper}})
	if touched := localcluster.Touched(before, f.running(t, j.id)); len(touched) > 0 {
		t.Errorf("on ZooKeeper subtasks are not what they were: %+v", touched)
	}
	if end := f.wait(t, j.id); end.State != job.Finished || end.Restarts != 0 {
		t.Errorf("the job is %s after %d restarts: %s", end.State, end.Restarts, end.Failure)
	}
	if got := countLines(t, j.output); got != j.words {
		t.Errorf("%d words came out, want %d", got, j.words)
	}
}

// ended waits for the end of a process.
func (f *fixture) ended(t *testing.T, p *localcluster.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-f.ctx.Done():
		t.Fatalf("%s runs on: %s", p.Name, p.Tail())
	}
}

// next starts JobManagers that take the cluster over, and has the fixture talk to them.
func (f *fixture) next(t *testing.T, c localcluster.Config) *localcluster.Cluster {
	t.Helper()
	settings := map[string]string{"storage.dir": filepath.Join(f.dir, "storage")}
	for k, v := range c.Settings {
		settings[k] = v
	}
	c.Binary, c.Dir, c.Settings = binaries.perennial, t.TempDir(), settings
	cluster, err := localcluster.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	f.client.Close()
	f.client = client.New(client.Fixed(cluster.Rest...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(cluster.Logs())
		}
		cluster.Stop()
	})
	if err := cluster.Members(f.ctx, f.client); err != nil {
		t.Fatal("the JobManagers did not come up: ", err)
	}
	return cluster
}

// command runs the program; refusal is a part of what it must say if it is to fail.
func (f *fixture) command(t *testing.T, refusal string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(f.ctx, binaries.perennial, append([]string{"--conf", ""}, args...)...)
	cmd.Env = append(os.Environ(), "PERENNIAL_DATA_DIR="+f.dir)
	out, err := cmd.CombinedOutput()
	if (err != nil) != (refusal != "") || !strings.Contains(string(out), refusal) {
		t.Fatalf("perennial %s: %v: %s; want %q", strings.Join(args, " "), err, out, refusal)
	}
	return string(out)
}
