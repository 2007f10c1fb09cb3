package localcluster

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// childAttributes ends a child with its parent, even with a parent that is killed. The signal
// follows the thread that forked, so one thread forks all and lives as long as the process.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

var forks = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not end
		for f := range work {
			f()
		}
	}()
	return work
})

func startChild(cmd *exec.Cmd) error {
	failed := make(chan error, 1)
	forks() <- func() { failed <- cmd.Start() }
	return <-failed
}
