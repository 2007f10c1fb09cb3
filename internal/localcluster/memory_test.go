package localcluster_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// hungry is a job that takes memory without end.
func hungry(env *stream.Env) {
	_ = env.Arg("output")
	numbers := stream.From(env, "numbers", generator.Count(1<<40, func(i uint64) uint64 { return i }))
	stream.ToFunc(numbers, "hoard", func(*stream.Context) (func(uint64) error, error) {
		var hoard [][]byte
		return func(uint64) error {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hoard = append(hoard, b)
			return nil
		}, nil
	})
}

// TestHungryJob: a job that takes more memory than its slots' share dies alone, and says of what; its neighbour on the same
// TaskManager notices nothing.
func TestHungryJob(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	f := newFixture(t, localcluster.Config{JobManagers: 1, Settings: map[string]string{
		"taskmanager.memory": "1GiB", "restart.strategy": "none", "checkpoint.interval": "100ms",
	}})
	if said := f.cluster.Logs(); !strings.Contains(said, "task processes are limited by control groups") {
		_, why, _ := strings.Cut(said, "task processes have Go's own limits only")
		why, _, _ = strings.Cut(why, "\n")
		t.Skip("the kernel lets this user make no control groups that limit memory: ", why)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := f.client.Upload(f.ctx, self)
	if err != nil {
		t.Fatal(err)
	}
	submit := func(name string, slots int, args ...string) client.ID {
		args = append([]string{"--job", name, "--output", filepath.Join(f.dir, name)}, args...)
		spec := client.Spec{ID: client.NewID(), Name: name, Artifact: artifact, Parallelism: slots, Args: args}
		if _, err := f.client.Submit(f.ctx, spec); err != nil {
			t.Fatal(err)
		}
		return spec.ID
	}
	neighbour := submit("apart", 6, "--records", "40000", "--rate", "5000") // on both TaskManagers
	before := f.running(t, neighbour)
	end := f.wait(t, submit("hungry", 1))
	const want = "by the system, as its job was out of memory: it may have 256 MiB here, the part of 1 of 4 slots (taskmanager.memory is 1024 MiB)"
	if end.State != job.Failed || !strings.Contains(end.Failure, want) {
		t.Errorf("the hungry job is %s: %s\nwant …%s", end.State, end.Failure, want)
	}
	after := f.running(t, neighbour)
	for _, name := range []string{"left", "right"} {
		if was, is := processes(before, name), processes(after, name); !maps.EqualFunc(was, is, same) {
			t.Errorf("the neighbour was %v and is %v", was, is)
		}
	}
	if end := f.wait(t, neighbour); end.State != job.Finished || end.Restarts != 0 {
		t.Errorf("the neighbour is %s after %d restarts: %s", end.State, end.Restarts, end.Failure)
	}
	f.groupsGone(t)
}

// groupsGone makes sure that TaskManagers that end leave no control groups behind.
func (f *fixture) groupsGone(t *testing.T) {
	t.Helper()
	var dirs []string
	for line := range strings.Lines(f.cluster.Logs()) {
		if _, dir, ok := strings.Cut(line, "task processes are limited by control groups"); ok {
			_, dir, _ = strings.Cut(dir, "directory=")
			dirs = append(dirs, strings.TrimSpace(dir))
		}
	}
	f.cluster.Stop()
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Error(fmt.Errorf("the control group %s is left: %w", dir, err))
		}
	}
}
