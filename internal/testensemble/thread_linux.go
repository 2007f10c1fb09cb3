package testensemble

import "syscall"

// dieWithParent makes the kernel kill the child when the thread that started it
// ends, so at the latest when this process does, however it ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
