package main

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// endTime is how long a process that was asked to end may take, within the 2 s that are promised.
const endTime = 1850 * time.Millisecond

// lastWords is how long it may take to log that.
const lastWords = 50 * time.Millisecond

// endInTime sees to it that the process ends soon after ctx, although something in it does not: a call of a file system
// or of coordination that hangs. It is then as if it had been killed. The returned function says that all has ended.
func endInTime(ctx context.Context, log *slog.Logger) (ended func()) {
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ctx.Done():
		case <-done:
			return
		}
		select {
		case <-time.After(endTime):
			said := make(chan struct{})
			go func() { // the log may be what hangs
				defer close(said)
				log.Error("this process was asked to end, and something in it hangs, such as a file system or coordination: it ends as if it were killed", "after", endTime)
			}()
			select {
			case <-said:
			case <-time.After(lastWords):
			}
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	return func() { close(done); <-watched }
}
