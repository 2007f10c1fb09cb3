package taskmanager

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Limits are what all task processes of a TaskManager may take together. Each job has the part of its slots. The
// zero value limits nothing.
type Limits struct {
	Memory int64 // bytes; 0: no limit
	CPUs   int   // 0: no limit
	// Cgroups has the kernel keep the limits, where it lets this process. Without it Go's collector keeps to
	// them as far as it can, and a job whose live memory is larger takes what it needs.
	Cgroups bool
}

// Available is what the machine has for task processes, or the container: all CPUs, and the memory less a tenth for the
// TaskManager and the system. Memory is 0 where it cannot be told.
func Available() Limits {
	return Limits{Memory: memoryHere() / 10 * 9, CPUs: runtime.GOMAXPROCS(0)}
}

// memoryVariable tells a task process how many bytes it may take, of Go's and of other memory. state/disk reads it.
const memoryVariable = "PERENNIAL_MEMORY"

// share is the part of the limits that some of all slots have.
func (l Limits) share(slots, of int) Limits {
	if slots >= of {
		return l
	}
	return Limits{Memory: l.Memory * int64(slots) / int64(of), CPUs: (l.CPUs*slots + of - 1) / of, Cgroups: l.Cgroups}
}

// environ adds the variables by which Go keeps to the limits, unless whoever started the TaskManager has set them.
// A tenth of the memory is for what Go's collector does not know: code, threads, files that are mapped.
func (l Limits) environ(env []string) []string {
	if l.Memory > 0 && !isSet(env, "GOMEMLIMIT") {
		env = append(env, fmt.Sprintf("GOMEMLIMIT=%d", l.Memory/10*9), fmt.Sprintf("%s=%d", memoryVariable, l.Memory))
	}
	if l.CPUs > 0 && !isSet(env, "GOMAXPROCS") {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(l.CPUs))
	}
	return env
}

func isSet(env []string, name string) bool {
	return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
}

// limiter keeps the task processes of a TaskManager within its limits.
type limiter struct {
	limits Limits
	slots  int
	log    *slog.Logger
	groups *cgroups // nil: Go's own limits have to do

	mu     sync.Mutex
	live   map[attemptKey][]int // the slots of what runs
	warned bool
}

func newLimiter(limits Limits, slots int, log *slog.Logger) *limiter {
	l := &limiter{limits: limits, slots: slots, log: log, live: map[attemptKey][]int{}}
	if limits.Memory == 0 || !limits.Cgroups {
		return l
	}
	groups, err := openCgroups()
	if err != nil {
		log.Info("task processes have Go's own limits only, as this TaskManager may make no control groups: a job that needs more memory than its share takes it from its neighbours", "reason", err)
		return l
	}
	l.groups = groups
	log.Info("task processes are limited by control groups", "memory", limits.Memory, "cpus", limits.CPUs, "directory", groups.dir)
	return l
}

// confined is a task process within its limits.
type confined struct {
	l     *limiter
	key   attemptKey
	group string // its control group; "": none
	kills uint64 // processes that had been killed for memory when it began, where it has no group
}

// confine puts a process that has just been started into a control group, below that of its job. It has done nothing
// yet: what a job does begins with rpc.Start.
func (l *limiter) confine(key attemptKey, slots []int, pid int) *confined {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[key] = slots
	c := &confined{l: l, key: key, kills: killedForMemory()}
	if l.groups == nil {
		return c
	}
	err := l.setJob(key)
	if err == nil {
		c.group, err = l.groups.place(key, pid)
	}
	if err != nil && !l.warned {
		l.warned = true
		l.log.Warn("a task process runs without a control group; this is not said again", "job", key.job, "pid", pid, "error", err)
	}
	return c
}

// setJob sets the limits of a job: the share of all slots that its processes have here.
func (l *limiter) setJob(key attemptKey) error {
	n := l.slotsOf(key)
	return l.groups.limit(key.job, l.limits.share(n, l.slots).Memory, n)
}

// slotsOf counts the slots of a job's processes; those of several pipelines share theirs.
func (l *limiter) slotsOf(key attemptKey) int {
	var slots []int
	for k, s := range l.live {
		if k.job == key.job {
			slots = append(slots, s...)
		}
	}
	slices.Sort(slots)
	return len(slices.Compact(slots))
}

// explain adds to how a process ended that it was killed for memory, if it was.
func (c *confined) explain(status string) string {
	if !strings.HasPrefix(status, killedBySignal+"9 ") {
		return status
	}
	c.l.mu.Lock()
	n := c.l.slotsOf(c.key)
	c.l.mu.Unlock()
	switch {
	case c.group != "" && killsIn(c.group) > 0:
		return fmt.Sprintf("%s by the system, as its job was out of memory: it may have %s here, the part of %d of %d slots (taskmanager.memory is %s)",
			status, mebibytes(c.l.limits.share(n, c.l.slots).Memory), n, c.l.slots, mebibytes(c.l.limits.Memory))
	case c.group == "" && killedForMemory() > c.kills:
		return status + ", and meanwhile the system has killed a process here as memory ran out: this one, in all likelihood"
	}
	return status
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// end removes what was made for a process that has ended.
func (c *confined) end() {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	delete(c.l.live, c.key)
	if c.l.groups == nil {
		return
	}
	c.l.groups.remove(c.group)
	if c.l.slotsOf(c.key) > 0 {
		_ = c.l.setJob(c.key) // or at the next start of a part, if the others have more than is left to them
	}
}

// close removes the groups. No process is left in them.
func (l *limiter) close() {
	if l.groups != nil {
		l.groups.close()
	}
}
