package embedded

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestEmptyDirectoryAlone: nobody is up to say that this member has voted, so it does not
// start as a new one. Together with one that lags it would vote away what was committed.
func TestEmptyDirectoryAlone(t *testing.T) {
	t.Parallel()
	q := startQuorum(t)
	q.stopAll()
	cfg := q.configs[2]
	cfg.Used = true
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	s, err := Start(ctx, cfg)
	if err == nil {
		s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "is empty, and no other member") {
		t.Errorf("alone: error %v, want one that says that nobody knows", err)
	}

	refused := make(chan error, 1)
	go func() {
		s, err := Start(within(t), cfg)
		if err == nil {
			s.Close()
		}
		refused <- err
	}()
	other := make(chan struct{})
	go func() { // alone it has no quorum, and knows all the same
		defer close(other)
		if s, err := Start(soon(t), q.configs[0]); err == nil {
			s.Close()
		}
	}()
	if err := <-refused; err == nil || !strings.Contains(err.Error(), "has voted") {
		t.Errorf("with another member: error %v, want one that says that the data is gone", err)
	}
	<-other
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestLateFirstStart: a member that was never there is let in, also to a cluster in use.
func TestLateFirstStart(t *testing.T) {
	t.Parallel()
	q := &quorum{t: t, configs: configsOf(t, 3), servers: make([]*Server, 3)}
	t.Cleanup(q.stopAll)
	errs := make(chan error, 2)
	for i := range 2 {
		go func() {
			var err error
			q.servers[i], err = Start(within(t), q.configs[i])
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	q.configs[2].Used = true
	q.restart(2)
}
