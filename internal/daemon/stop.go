package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Stop asks an instance to end and waits for it. At ctx's deadline it is killed, and killed is true;
// if ctx is cancelled it is left to end by itself, and the error is ctx's cause. That it had ended
// before is no error.
func (p Place) Stop(ctx context.Context, i Instance) (killed bool, err error) {
	if err := p.signal(i, syscall.SIGTERM); err != nil {
		return false, err
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	patience := ctx.Done()
	var after <-chan time.Time // of the kill
	for {
		if gone, err := p.sweep(i); gone || err != nil {
			return killed, err
		}
		select {
		case <-tick.C:
		case <-patience:
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return false, context.Cause(ctx)
			}
			killed, patience, after = true, nil, time.After(afterKill)
			if err := p.signal(i, syscall.SIGKILL); err != nil {
				return true, err
			}
		case <-after:
			return true, fmt.Errorf("%s, process %d, was killed and has not ended: it hangs in the kernel, or a process that it started holds its pid file %s", i, i.PID, i.file)
		}
	}
}

// afterKill is how long the kernel may take to end a process.
const afterKill = 10 * time.Second

// signal sends sig to an instance, if it lives. The handle is opened before the look: where it is a
// pidfd it can then be of no other process, even if this one ends and its number is given away.
func (p Place) signal(i Instance, sig os.Signal) error {
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	defer unlock()
	now, err := p.look(i.Role, i.Number)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case now.Alive && now.PID == 0:
		return fmt.Errorf("%s runs, and its pid file %s does not say as which process; its log is %s", i, i.file, i.Log)
	case !now.Alive || now.PID != i.PID: // another was started since
		return nil
	}
	process, err := os.FindProcess(now.PID)
	if err != nil {
		return fmt.Errorf("%s, process %d: %w", i, now.PID, err)
	}
	defer func() { _ = process.Release() }()
	if now, err = p.look(i.Role, i.Number); err != nil || !now.Alive {
		return err
	}
	if err := process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s, process %d: %w", i, now.PID, err)
	}
	return nil
}

// sweep removes the pid file of an instance that has ended, and tells whether it has.
func (p Place) sweep(i Instance) (gone bool, err error) {
	unlock, err := p.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	now, err := p.look(i.Role, i.Number)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case now.PID != i.PID: // another was started since
		return true, nil
	case now.Alive:
		return false, nil
	}
	return true, os.Remove(i.file)
}

// alive tells whether an instance that was started a moment ago runs.
func (p Place) alive(i Instance) (bool, error) {
	unlock, err := p.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	now, err := p.look(i.Role, i.Number)
	return now.Alive && now.PID == i.PID, err
}
