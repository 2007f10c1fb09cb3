package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// bounds are of a fault that is caused again and again.
type bounds struct {
	one time.Duration // the longest that one may take, with what follows it
	all time.Duration // when it is over, none begins
}

const (
	wrongInAll = 20 // faults that may go wrong
	wrongInRow = 3
)

// again has a fault happen n times, within bounds. One that does not go as it should is told, what it left broken is mended,
// and the next follows: a thousand kills are not lost for one. It returns an error that counts those, and whatever that is,
// what was measured counts.
func (s *stage) again(ctx context.Context, n int, b bounds, once func(context.Context) error) error {
	began := time.Now()
	var first error
	wrong, row, i := 0, 0, 0
	for ; i < n && time.Since(began) < b.all && ctx.Err() == nil && wrong < wrongInAll && row < wrongInRow; i++ {
		err := s.bounded(ctx, b.one, once)
		if err == nil {
			row = 0
			continue
		}
		wrong, row = wrong+1, row+1
		fmt.Printf("(%d of %d went wrong: %s)\n", i+1, n, firstLine(err))
		if first == nil {
			first = err
		}
		if err := s.mended(); err != nil {
			return errors.Join(first, fmt.Errorf("and it could not be mended: %w", err))
		}
	}
	if i < n && first == nil && ctx.Err() == nil {
		fmt.Printf("(%d of %d, as %v were over)\n", i, n, b.all)
	}
	if first != nil {
		first = fmt.Errorf("%d of %d went wrong, the first: %w", wrong, i, first)
	}
	return errors.Join(first, context.Cause(ctx))
}

func (s *stage) bounded(ctx context.Context, limit time.Duration, once func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%v were not enough", limit))
	defer cancel()
	return once(ctx)
}

// mended lets go on what is frozen, and starts what does not run.
func (s *stage) mended() error {
	if s.mend != nil {
		if err := s.mend(); err != nil {
			return err
		}
	}
	for _, p := range s.cl.JobManagers {
		_ = p.Signal(syscall.SIGCONT) // an error says that it has ended
		if p.Running() {
			continue
		}
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}
