package taskmanager

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
)

// frozen is a child that was stopped (SIGSTOP): it takes nothing, and ends when it is killed.
type frozen struct {
	control *rpc.Conn
	once    sync.Once
	killed  chan struct{}
}

func (f *frozen) PID() int           { return 4711 }
func (f *frozen) Control() *rpc.Conn { return f.control }
func (f *frozen) AwaitExit()         { <-f.killed }
func (f *frozen) Kill()              { f.once.Do(func() { close(f.killed) }) }
func (f *frozen) Reap() string       { return KilledBySignal }
func (f *frozen) LastWords() string  { return "" }
func (f *frozen) Close()             {}

// TestFrozenProcessIsKilledAtOnce: that a task process takes no message, as its lease, keeps nobody from killing it.
func TestFrozenProcessIsKilledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		alive, kill := context.WithCancel(t.Context())
		p := newProcess(alive, rpc.Deploy{}, slog.New(slog.DiscardHandler))
		p.lease = &handedOn{changed: make(chan struct{}, 1)}
		c := &frozen{control: rpc.New(ours), killed: make(chan struct{})}
		began := time.Now()
		time.AfterFunc(7*time.Second, func() { p.lease.set(time.Hour) })
		time.AfterFunc(8*time.Second, kill)
		_ = p.watch(Timeouts{}.withDefaults(), c, &listener{process: p, control: c.control, answers: make(chan error), exited: c.killed}, rpc.Start{})
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("it was killed after %v, want 8s", took)
		}
	})
}
