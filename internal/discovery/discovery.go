// Package discovery finds the JobManagers of a cluster: from configuration, by asking their
// REST ports, or from coordination.
//
// It tells who is there, never who leads: a TaskManager registers with all of them and learns
// the leader from the leader. It dials no RPC port.
//
// Each Discovery starts one goroutine per call, which ends with the call's context and then
// closes the channel; who called waits for that.
package discovery

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// JobManager is where one is found.
type JobManager struct {
	ID   string `json:"id"`   // "" if only its address is known
	RPC  string `json:"rpc"`  // address for TaskManagers
	REST string `json:"rest"` // address of the API, or ""
}

// A Discovery sends the JobManagers known now, and again at each change, until ctx is done;
// then the channel is closed. A slow reader misses lists in between, never the last one.
// A list is in order of RPC address, and the reader may keep it.
type Discovery func(ctx context.Context) <-chan []JobManager

// Addresses is what a TaskManager needs of d: RPC addresses.
func Addresses(d Discovery) func(ctx context.Context) <-chan []string {
	return func(ctx context.Context) <-chan []string {
		out := make(chan []string, 1)
		go func() {
			defer close(out)
			for list := range d(ctx) {
				addrs := make([]string, len(list))
				for i, jm := range list {
					addrs[i] = jm.RPC
				}
				replace(out, addrs)
			}
		}()
		return out
	}
}

// Fixed is the one JobManager at a configured address.
func Fixed(rpc string) Discovery {
	return func(ctx context.Context) <-chan []JobManager {
		out := make(chan []JobManager, 1)
		out <- []JobManager{{RPC: rpc}}
		go func() {
			defer close(out)
			<-ctx.Done()
		}()
		return out
	}
}

// replace sends v on a channel of capacity 1 that has no other sender, in place of a value that
// nobody has taken.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// changes sends a list only when it is another than the last.
type changes struct {
	out  chan []JobManager
	last []JobManager
}

func newChanges() *changes { return &changes{out: make(chan []JobManager, 1)} }

func (c *changes) send(list []JobManager) {
	slices.SortFunc(list, func(a, b JobManager) int {
		return slices.Compare([]string{a.RPC, a.ID}, []string{b.RPC, b.ID})
	})
	if slices.Equal(list, c.last) {
		return
	}
	c.last = slices.Clone(list)
	replace(c.out, list)
}

// sleep waits for d or until ctx ends, which it reports.
func sleep(ctx context.Context, d time.Duration) (ended bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-ctx.Done():
		return true
	}
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}
