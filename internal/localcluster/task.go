package localcluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// IsTaskProcess makes sure that a number from an answer of a moment ago is not another process's by
// now. Without /proc it is never sure.
func IsTaskProcess(pid int) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.Contains(strings.Split(string(environ), "\x00"), "PERENNIAL_ROLE=task")
}

// KillTask ends a task process of this cluster at once, and tells whether there was one of this pid.
func (cl *Cluster) KillTask(pid int) (bool, error) { return cl.SignalTask(pid, syscall.SIGKILL) }

// SignalTask sends sig to a task process of this cluster, and tells whether there was one of this pid.
func (cl *Cluster) SignalTask(pid int, sig syscall.Signal) (bool, error) {
	// Held from before the checks on, so that what they were made of is what is signalled.
	p, err := os.FindProcess(pid)
	if err != nil {
		return false, err
	}
	defer func() { _ = p.Release() }()
	if !IsTaskProcess(pid) || !cl.owns(pid) {
		return false, nil
	}
	if err := p.Signal(sig); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		return false, err
	}
	return true, nil
}

// owns tells whether a process works below this cluster's directory, where its TaskManagers put theirs.
func (cl *Cluster) owns(pid int) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	dir, err := filepath.EvalSymlinks(cl.config.Dir)
	return err == nil && strings.HasPrefix(cwd, dir+string(filepath.Separator))
}
