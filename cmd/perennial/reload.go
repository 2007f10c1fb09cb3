package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/term"

	"github.com/perennial-io/perennial/internal/config"
)

// reloader has a running process read its configuration again at SIGHUP.
type reloader struct {
	load    func() (*config.Config, error)
	started *config.Config // of keys that wait for a restart
	now     *config.Config // of keys that are read again
	log     logging
	uses    []config.Name              // of those that are read again, what the process uses beside log.level
	take    func(*config.Config) error // puts them in force, or refuses
}

// run follows the signal until ctx ends or stop is called, which waits. A process that a person looks at ends with its
// terminal instead.
func (r *reloader) run(ctx context.Context) (stop func()) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	hangUps, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangUps, syscall.SIGHUP)
	go func() {
		defer close(done)
		for {
			select {
			case <-hangUps:
				r.reload()
			case <-ctx.Done():
				return
			}
		}
	}()
	// The signal stays caught: one that comes while the process ends does no harm.
	return func() { cancel(); <-done }
}

// reload takes what can be changed, says what, and what waits for a restart. A mistake changes nothing. Values of keys
// that wait are not said: they may be secrets.
func (r *reloader) reload() {
	next, err := r.load()
	if err == nil {
		err = r.take(next)
	}
	if err != nil {
		r.log.Error("SIGHUP: the configuration cannot be taken, and nothing has changed", "error", err)
		return
	}
	changed, waiting := []string{}, []config.Name{}
	for _, n := range config.Changes(r.now, next) {
		if n == config.LogLevel || slices.Contains(r.uses, n) {
			changed = append(changed, fmt.Sprintf("%s: %s -> %s", n, r.now.String(n), next.String(n)))
		}
	}
	for _, n := range config.Changes(r.started, next) {
		if !n.Reloaded() {
			waiting = append(waiting, n)
		}
	}
	before := r.log.level.Level()
	r.log.setLevel(next.String(config.LogLevel))
	after := r.log.level.Level()
	r.log.level.Set(min(before, after))
	r.log.Info("SIGHUP: the configuration was read again", "changed", changed, "waits-for-a-restart", waiting)
	r.log.level.Set(after)
	r.now = next
}
