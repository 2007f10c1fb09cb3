package daemon

import (
	"os"
	"strconv"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// Adopt is called first in a process that may have been started by Start. It keeps the pid file
// open, and its lock with it, but not in processes that this one starts: they may live longer.
func Adopt() {
	if fd, err := strconv.Atoi(os.Getenv(pidVariable)); err == nil {
		syscall.CloseOnExec(fd)
	}
	_ = os.Unsetenv(pidVariable)
}

// Ready tells whoever started this process, and listens, that it does its work: Start's caller, or
// systemd. It is called once.
func Ready() {
	_, _ = sd.SdNotify(true, sd.SdNotifyReady) // whoever listened may have gone
}
