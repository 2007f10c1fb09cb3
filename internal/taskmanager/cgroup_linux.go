package taskmanager

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/perennial-io/perennial/internal/job"
)

// cgroups are the control groups that a TaskManager makes below its own, in version 2 of the kernel's interface if that has the
// memory controller, and else in version 1:
//
//	taskmanager-<pid>          version 2: this process, as a group that has limited ones below it can have no process
//	tasks-<pid>/<job>          with the limits
//	tasks-<pid>/<job>/<region>-<attempt>  one task process, which is how to tell that it was killed for memory
//
// They are removed when they are empty, those of a dead TaskManager by the next one.
type cgroups struct {
	version int
	own     string // the group in which this process began
	dir     string // of the groups of its task processes
	left    []string
}

// The files of the two versions.
const (
	limitV1, limitV2   = "memory.limit_in_bytes", "memory.max"
	eventsV1, eventsV2 = "memory.oom_control", "memory.events"
)

// openCgroups finds the group of this process and makes one below it for task processes.
func openCgroups() (*cgroups, error) {
	version, own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	return makeCgroups(version, own, os.Getpid())
}

func makeCgroups(version int, own string, pid int) (*cgroups, error) {
	g := &cgroups{version: version, own: own, dir: filepath.Join(own, "tasks-"+strconv.Itoa(pid))}
	removeStale(own)
	if version == 2 {
		if err := g.delegate(pid); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		g.close()
		return nil, err
	}
	if err := g.passOn(g.dir); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// delegate moves this process into a group below its own, so that the own one may have limited groups. It cannot
// where others are in it as well.
func (g *cgroups) delegate(pid int) error {
	leaf := filepath.Join(g.own, "taskmanager-"+strconv.Itoa(pid))
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	err := write(leaf, "cgroup.procs", strconv.Itoa(pid))
	if err == nil {
		err = g.passOn(g.own)
	}
	if err != nil {
		g.close()
		return fmt.Errorf("%w (systemd gives a service its own group by Delegate=yes)", err)
	}
	return nil
}

// passOn has the groups below one limit memory and share CPUs.
func (g *cgroups) passOn(dir string) error {
	if g.version == 1 {
		return nil
	}
	_ = write(dir, "cgroup.subtree_control", "+cpu") // a share of the CPUs is less urgent
	return write(dir, "cgroup.subtree_control", "+memory")
}

// limit sets what all task processes of a job may take: of memory so many bytes, of CPUs the part of its slots, if others want
// theirs. The memory stays as it was while they have more already, as when a part of the job has ended: version 2 would kill one
// of them for it, and version 1 refuses.
func (g *cgroups) limit(of job.ID, memory int64, slots int) error {
	dir := filepath.Join(g.dir, string(of))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	bytes := strconv.FormatInt(memory, 10)
	if g.version == 1 {
		if err := write(dir, limitV1, bytes); !errors.Is(err, syscall.EBUSY) {
			return err
		}
		return nil
	}
	_ = write(dir, "memory.swap.max", "0")                                    // absent where there is no swap
	_ = write(dir, "cpu.weight", strconv.Itoa(min(100*max(slots, 1), 10000))) // absent without the controller
	if held(dir) > uint64(memory) {
		return nil // it has been set before
	}
	return errors.Join(write(dir, limitV2, bytes), g.passOn(dir))
}

// held is how many bytes a group of version 2 has that the kernel cannot take back.
func held(group string) uint64 {
	text, err := os.ReadFile(filepath.Join(group, "memory.current"))
	if err != nil {
		return 0
	}
	all, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	stat := filepath.Join(group, "memory.stat")
	return all - min(all, counted(stat, "active_file")+counted(stat, "inactive_file"))
}

// place puts a process into a group of its own, below that of its job, and returns the group.
func (g *cgroups) place(key attemptKey, pid int) (string, error) {
	dir := filepath.Join(g.dir, string(key.job), fmt.Sprintf("%d-%d", key.region, key.attempt))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		g.remove(dir)
		return "", err
	}
	return dir, nil
}

// remove removes a group and its job's, or does so at the next call where the kernel has not taken the last process apart.
func (g *cgroups) remove(dir string) {
	if dir != "" {
		g.left = append(g.left, dir)
	}
	g.left = slices.DeleteFunc(g.left, func(dir string) bool {
		err := os.Remove(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false
		}
		_ = os.Remove(filepath.Dir(dir)) // not while another process of the job runs
		return true
	})
}

// close removes what is empty, and takes this process back to where it was.
func (g *cgroups) close() {
	removeTree(g.dir)
	if g.version == 2 {
		_ = write(g.own, "cgroup.subtree_control", "-memory -cpu")
		_ = write(g.own, "cgroup.procs", strconv.Itoa(os.Getpid()))
		_ = os.Remove(filepath.Join(g.own, "taskmanager-"+strconv.Itoa(os.Getpid())))
	}
}

// removeStale removes the groups of TaskManagers that are dead.
func removeStale(own string) {
	entries, _ := os.ReadDir(own)
	for _, e := range entries {
		_, number, _ := strings.Cut(e.Name(), "-")
		pid, err := strconv.Atoi(number)
		if err != nil || e.Name() != "tasks-"+number && e.Name() != "taskmanager-"+number {
			continue
		}
		if pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			removeTree(filepath.Join(own, e.Name()))
		}
	}
}

// removeTree removes groups from below, as far as they have no process. The files in them go with them.
func removeTree(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}

func write(dir, name, value string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644)
}

// killsIn is how many processes of a group were killed for memory.
func killsIn(group string) uint64 {
	return cmp.Or(counted(filepath.Join(group, eventsV2), "oom_kill"), counted(filepath.Join(group, eventsV1), "oom_kill"))
}

// killedForMemory is how many processes of this machine were.
func killedForMemory() uint64 { return counted("/proc/vmstat", "oom_kill") }

// counted reads a number that follows its name on a line of a file; 0: there is none.
func counted(path, name string) uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			n, _ := strconv.ParseUint(fields[1], 10, 64)
			return n
		}
	}
	return 0
}

// memoryHere is what the machine has, or the narrowest of the groups in which this process is.
func memoryHere() int64 {
	var info unix.Sysinfo_t
	least := int64(math.MaxInt64)
	if unix.Sysinfo(&info) == nil {
		least = int64(info.Totalram) * int64(info.Unit)
	}
	version, own, err := ownCgroup()
	name := map[int]string{1: limitV1, 2: limitV2}[version]
	for dir := own; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
			least = min(least, n)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// ownCgroup is the group of this process that limits memory, as a directory, and the version of its interface.
func ownCgroup() (version int, dir string, err error) {
	of, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return 0, "", err
	}
	if dir := findCgroup(of, mounts, 2); dir != "" {
		if controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers")); err == nil && slices.Contains(strings.Fields(string(controllers)), "memory") {
			return 2, dir, nil
		}
	}
	if dir := findCgroup(of, mounts, 1); dir != "" {
		return 1, dir, nil
	}
	return 0, "", errors.New("no control group here limits memory")
}

// findCgroup is the directory of a process's group: where its hierarchy is mounted, and its path there. "": there is none.
func findCgroup(of, mounts []byte, version int) string {
	path := ""
	for line := range bytes.Lines(of) { // number:controllers:path
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(fields) == 3 && (version == 2 && fields[0] == "0" || version == 1 && slices.Contains(strings.Split(fields[1], ","), "memory")) {
			path = fields[2]
		}
	}
	if path == "" {
		return ""
	}
	for line := range bytes.Lines(mounts) { // … root mountpoint options … - type source options
		before, after, _ := strings.Cut(strings.TrimSpace(string(line)), " - ")
		fields, of := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(of) < 3 {
			continue
		}
		memory := of[0] == "cgroup" && slices.Contains(strings.Split(of[2], ","), "memory")
		if version == 2 && of[0] == "cgroup2" || version == 1 && memory {
			below, err := filepath.Rel(fields[3], path)
			if err != nil || strings.HasPrefix(below, "..") || strings.HasPrefix(path, "/..") { // as another namespace sees it
				return fields[4]
			}
			return filepath.Join(fields[4], below)
		}
	}
	return ""
}
