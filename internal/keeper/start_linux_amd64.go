package keeper

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keep makes the keeper, whose parent is process ppid, and returns its number, or minus an errno. All signals must be blocked.
func keep(ppid uintptr) (pid int)

func start() (stop func(), err error) {
	started, stopping, stopped := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		runtime.LockOSThread() // for good: the keeper ends with this thread, and its signals are blocked meanwhile
		pid, err := fork()
		started <- err
		if err != nil {
			return
		}
		<-stopping
		_ = syscall.Kill(pid, syscall.SIGKILL) // an error says that it has ended
		for {
			_, err := syscall.Wait4(pid, nil, syscall.WALL, nil)
			if !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	}()
	if err := <-started; err != nil {
		<-stopped
		return nil, err
	}
	return func() { close(stopping); <-stopped }, nil
}

// fork makes the keeper with all signals blocked, which it inherits: a handler of Go's would run on the stack of a thread that is not its own.
func fork() (pid int, err error) {
	all, before := ^uint64(0), uint64(0)
	if err := mask(&all, &before); err != nil {
		return 0, fmt.Errorf("keeper: block signals: %w", err)
	}
	pid = keep(uintptr(os.Getpid()))
	if err := mask(&before, nil); err != nil {
		return 0, fmt.Errorf("keeper: unblock signals: %w", err)
	}
	if pid < 0 {
		return 0, fmt.Errorf("keeper: clone: %w", syscall.Errno(-pid))
	}
	return pid, nil
}

// mask is sigprocmask(2) of this thread.
func mask(set, before *uint64) error {
	_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(before)), unsafe.Sizeof(*set), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
