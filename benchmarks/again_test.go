package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/localcluster"
)

// One fault that goes wrong costs neither those before it nor those after it.
func TestAgainGoesOn(t *testing.T) {
	mends, done := 0, 0
	s := &stage{cl: new(localcluster.Cluster), mend: func() error { mends++; return nil }}
	err := s.again(t.Context(), 10, bounds{time.Minute, time.Minute}, func(context.Context) error {
		if done++; done == 4 {
			return errors.New("no leader")
		}
		return nil
	})
	if done != 10 || mends != 1 {
		t.Errorf("%d of 10 faults were caused, and %d mended", done, mends)
	}
	if want := "1 of 10 went wrong, the first: no leader"; err == nil || err.Error() != want {
		t.Errorf("it says %v, not %s", err, want)
	}
}

// Where each fault goes wrong it ends soon.
func TestAgainGivesUp(t *testing.T) {
	done := 0
	s := &stage{cl: new(localcluster.Cluster)}
	err := s.again(t.Context(), 1000, bounds{time.Minute, time.Minute}, func(context.Context) error {
		done++
		return errors.New("no leader")
	})
	if done != wrongInRow || err == nil {
		t.Errorf("%d faults were caused, and it says %v", done, err)
	}
}

func TestAgainEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := 0
	s := &stage{cl: new(localcluster.Cluster)}
	err := s.again(ctx, 10, bounds{time.Minute, time.Minute}, func(context.Context) error {
		if done++; done == 2 {
			cancel()
		}
		return nil
	})
	if done != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d faults were caused, and it says %v", done, err)
	}
}
