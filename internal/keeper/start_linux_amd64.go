package keeper

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keep makes the keeper, whose parent is process ppid, and returns its number, or minus an errno. All signals must be blocked. The
// keeper writes 1 to ready once it is one; until then it may find that it cannot be, and end.
//
//go:noescape
func keep(ppid uintptr, ready *uint32) (pid int)

// kept is a keeper, to its parent.
type kept struct {
	pid   int
	ready *uint32 // on the heap: the keeper writes there when it likes

	mu       sync.Mutex
	stopping bool
	ended    bool // its number may be somebody else's soon
}

func start(lost func()) (stop func(), err error) {
	if err := unix.CloseRange(math.MaxUint32, math.MaxUint32, 0); err != nil { // the keeper would keep connections open
		return nil, fmt.Errorf("%w: close_range: %w", ErrUnsupported, err)
	}
	k, started, over := &kept{ready: new(uint32)}, make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread() // for good: it is the keeper's parent, and both end together
		err := k.fork()
		if err == nil {
			err = k.await()
		}
		started <- err
		if err == nil && k.reap() {
			lost()
		}
	}()
	if err := <-started; err != nil {
		<-over
		return nil, err
	}
	return func() { k.end(); <-over }, nil
}

// fork makes the keeper with all signals blocked, which it inherits: a handler of Go's would run on the stack of a thread that is not its own.
func (k *kept) fork() error {
	all, before := ^uint64(0), uint64(0)
	if err := mask(&all, &before); err != nil {
		return fmt.Errorf("keeper: block signals: %w", err)
	}
	k.pid = keep(uintptr(os.Getpid()), k.ready)
	if err := mask(&before, nil); err != nil {
		return fmt.Errorf("keeper: unblock signals: %w", err)
	}
	if k.pid < 0 {
		return fmt.Errorf("%w: clone: %w", ErrUnsupported, syscall.Errno(-k.pid))
	}
	return nil
}

// await waits until the keeper is one, or has ended.
func (k *kept) await() error {
	for atomic.LoadUint32(k.ready) == 0 {
		pid, err := syscall.Wait4(k.pid, nil, syscall.WALL|syscall.WNOHANG, nil)
		if pid == k.pid || err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("%w: it ended at once", ErrUnsupported)
		}
		time.Sleep(10 * time.Microsecond)
	}
	return nil
}

// reap waits for the keeper's end, and reports whether nobody has asked for that.
func (k *kept) reap() (lost bool) {
	again(func() error { return unix.Waitid(unix.P_PID, k.pid, nil, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil) })
	k.mu.Lock()
	k.ended = true
	lost = !k.stopping
	k.mu.Unlock()
	again(func() error { _, err := syscall.Wait4(k.pid, nil, syscall.WALL, nil); return err })
	return lost
}

// end has the keeper end.
func (k *kept) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopping = true
	if !k.ended {
		_ = syscall.Kill(k.pid, syscall.SIGKILL) // it is there: nobody has reaped it
	}
}

// again calls f until a signal has not interrupted it. There is nothing else that could go wrong with a child of one's own.
func again(f func() error) {
	for errors.Is(f(), syscall.EINTR) {
	}
}

// mask is sigprocmask(2) of this thread.
func mask(set, before *uint64) error {
	_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(before)), unsafe.Sizeof(*set), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
