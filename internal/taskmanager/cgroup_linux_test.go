package taskmanager

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindCgroup: where the group of a process is, on hosts and in containers.
func TestFindCgroup(t *testing.T) {
	const (
		v2Mount     = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		v1Mounts    = "35 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n36 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		dockerV1    = "36 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
		ofService   = "0::/system.slice/perennial.service\n"
		ofV1        = "4:memory:/docker/abc/x\n1:cpu:/\n0::/\n"
		ofOutside   = "4:memory:/elsewhere\n"
		ofNamespace = "0::/../other\n"
	)
	for _, c := range []struct {
		name, of, mounts string
		version          int
		want             string
	}{
		{"a service", ofService, v2Mount, 2, "/sys/fs/cgroup/system.slice/perennial.service"},
		{"version 1", ofV1, v1Mounts, 1, "/sys/fs/cgroup/memory/docker/abc/x"},
		{"version 1 in a container", ofV1, dockerV1, 1, "/sys/fs/cgroup/memory/x"},
		{"a path of another namespace", ofOutside, dockerV1, 1, "/sys/fs/cgroup/memory"},
		{"version 2 of another namespace", ofNamespace, v2Mount, 2, "/sys/fs/cgroup"},
		{"none of version 2", ofV1, v1Mounts, 2, ""},
		{"none of version 1", ofService, v2Mount, 1, ""},
	} {
		if got := findCgroup([]byte(c.of), []byte(c.mounts), c.version); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestGroupsOfVersion2 looks at what is written where: plain files stand for the kernel's.
func TestGroupsOfVersion2(t *testing.T) {
	own := t.TempDir()
	dead := filepath.Join(own, "tasks-999999999", "job")
	if err := os.MkdirAll(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	g, err := makeCgroups(2, own, 4711)
	if err != nil {
		t.Fatal(err)
	}
	key := attemptKey{partKey{"job1", 3}, 2}
	if err := g.limit(key.job, 512<<20, 2); err != nil {
		t.Fatal(err)
	}
	group, err := g.place(key, 4712)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"taskmanager-4711/cgroup.procs":          "4711",
		"cgroup.subtree_control":                 "+memory",
		"tasks-4711/cgroup.subtree_control":      "+memory",
		"tasks-4711/job1/cgroup.subtree_control": "+memory",
		"tasks-4711/job1/memory.max":             "536870912",
		"tasks-4711/job1/memory.swap.max":        "0",
		"tasks-4711/job1/cpu.weight":             "200",
		"tasks-4711/job1/3-2/cgroup.procs":       "4712",
	} {
		text, err := os.ReadFile(filepath.Join(own, path))
		if err != nil || string(text) != want {
			t.Errorf("%s: %q, %v; want %q", path, text, err, want)
		}
	}
	if _, err := os.Stat(filepath.Dir(dead)); err == nil {
		t.Error("the groups of a dead TaskManager are left")
	}
	if err := write(group, eventsV2, "low 0\noom 5\noom_kill 1\noom_group_kill 0\n"); err != nil || killsIn(group) != 1 {
		t.Errorf("%d kills are read, %v", killsIn(group), err)
	}
}

// TestNarrowerLimit: what is left of a job is not killed because another part of it has ended. Files that are cached do not count.
func TestNarrowerLimit(t *testing.T) {
	g, err := makeCgroups(2, t.TempDir(), 4711)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(g.dir, "job1")
	if err := g.limit("job1", 2000, 2); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ current, stat, want string }{
		{"1500\n", "anon 1400\nactive_file 60\ninactive_file 40\n", "2000"},
		{"1500\n", "anon 900\nactive_file 300\ninactive_file 300\n", "1000"},
	} {
		if err := errors.Join(write(dir, "memory.current", c.current), write(dir, "memory.stat", c.stat), g.limit("job1", 1000, 1)); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, limitV2)); err != nil || string(text) != c.want {
			t.Errorf("with %q, %q: limit %q, %v; want %q", c.current, c.stat, text, err, c.want)
		}
	}
}

// TestExplanation: a process that was killed for memory says so, with what it might have had; one that somebody killed does not.
func TestExplanation(t *testing.T) {
	group := t.TempDir()
	l := newLimiter(Limits{Memory: 1 << 30}, 4, nil)
	key := attemptKey{partKey{"job1", 0}, 1}
	l.live[key] = []int{0, 1}
	c := &confined{l: l, key: key, group: group}
	const killed = killedBySignal + "9 (killed)"
	if got := c.explain(killed); got != killed {
		t.Errorf("somebody killed it, and it says %q", got)
	}
	if err := write(group, eventsV1, "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"); err != nil {
		t.Fatal(err)
	}
	if got := c.explain(killed); !strings.Contains(got, "out of memory: it may have 512 MiB here, the part of 2 of 4 slots (taskmanager.memory is 1024 MiB)") {
		t.Errorf("got %q", got)
	}
	if got := c.explain(exitedWell); got != exitedWell {
		t.Errorf("it ended well, and it says %q", got)
	}
}
