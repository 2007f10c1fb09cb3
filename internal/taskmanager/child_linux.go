package taskmanager

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr puts a child into a process group of its own and has it killed when the spawner's
// thread ends. That signal is a second net: it does not exist everywhere, and a task process
// must end by itself at the end of its control connection.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// AwaitExit returns when the process has exited, and leaves it to be waited for: until then
// its number, which is its group's too, is not given to another process.
func (c *child) AwaitExit() {
	for errors.Is(unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

func (c *child) wait() error { return c.cmd.Wait() }

// birth identifies a process among all that ever have its number: the boot, and the time since
// it at which the process started. It is "" for one that has ended, reaped or not.
func birth(pid int) (string, error) {
	boot := bootID()
	if boot == "" {
		return "", fmt.Errorf("%s does not tell which boot of the host this is", bootFile)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	// The second field, the name in parentheses, may have spaces and parentheses itself.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, startTime = 0, 19 // fields 3 and 22 of the file
	if len(fields) <= startTime {
		return "", fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(fields))
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return "", nil
	}
	return boot + "/" + fields[startTime], nil
}

const bootFile = "/proc/sys/kernel/random/boot_id"

// bootID tells this boot of this host from all others; "": it is not known.
func bootID() string {
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot))
}
