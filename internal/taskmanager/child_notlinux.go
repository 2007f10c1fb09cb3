//go:build unix && !linux

package taskmanager

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttr puts a child into a process group of its own.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (c *child) AwaitExit() { c.waited = c.cmd.Wait() }

func (c *child) wait() error { return c.waited }

// bootID tells this host from all others, by its name: there is nothing better here.
func bootID() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// birth identifies a process among all that ever have its number: by when it started. It
// is "" for one that has ended.
func birth(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", nil // there is none
	}
	return strings.TrimSpace(string(out)), err
}
