package taskmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/rpc"
)

// errHungUp says that a task process closed its control connection.
var errHungUp = errors.New("it closed its control connection and did not exit")

// process is the life of one attempt's task process: from the fetching of its binary until
// nothing of it is left.
type process struct {
	deploy rpc.Deploy
	log    *slog.Logger    // names the attempt, and the epoch under which it was deployed
	alive  context.Context // its end kills
	wanted context.Context // its end asks the task process to end; ends with alive
	end    context.CancelFunc

	orders chan rpc.Message // for the task process, once it is ready
	stuck  string           // what was killed as it did not end when asked to, in words; of run
	lease  *handedOn        // nil: it has none
}

// key names the attempt that p is.
func (p *process) key() attemptKey {
	return attemptKey{partKey{p.deploy.Spec.ID, p.deploy.Region}, p.deploy.Attempt}
}

// orderBox bounds the messages that wait for a task process.
const orderBox = 64

// say queues a message for the task process. One that takes none for so long that the queue is full
// misses a checkpoint: its time-out closes it.
func (p *process) say(m rpc.Message) {
	select {
	case p.orders <- m:
	default:
	}
}

func newProcess(alive context.Context, d rpc.Deploy, log *slog.Logger) *process {
	p := &process{deploy: d, log: log, alive: alive, orders: make(chan rpc.Message, orderBox)}
	p.wanted, p.end = context.WithCancel(alive)
	return p
}

// run blocks until the task process has ended, and tells how.
func (p *process) run(n *node, events chan<- event) exited {
	defer p.end()
	defer p.release(n)
	c, err := n.programs.Start(p.wanted, p.deploy)
	switch {
	case err != nil && p.wanted.Err() != nil:
		return exited{p: p}
	case err != nil:
		p.log.Warn("the task process cannot be started", "error", err)
		return exited{p: p, failure: fmt.Sprintf("start the task process on host %s: %v", n.host(), err)}
	}
	defer c.Close()
	pid := c.PID()
	failpoint.TaskManagerStarted.Reached()
	events <- started{p, pid}
	p.log.Info("task process started", "pid", pid)

	why, status := p.supervise(n, c, events)
	level := slog.LevelInfo
	if status != ExitedWell && p.wanted.Err() == nil {
		level = slog.LevelWarn
	}
	p.log.Log(context.Background(), level, "task process ended", "pid", pid, "status", status)
	early := ""
	switch {
	case why != nil:
		status = fmt.Sprintf("was ended: %v", why)
	case p.wanted.Err() != nil:
		return exited{p: p, stuck: p.stuck}
	case status == ExitedWell:
		early = " before its subtasks had ended"
	}
	what, words := fmt.Sprintf("task process %d %s", pid, status), c.LastWords()
	killed := why == nil && strings.HasPrefix(status, KilledBySignal)
	return exited{p: p, failure: what + early + words, killed: killed,
		late: what + " after its subtasks had finished and before the job's end was committed" + words}
}

// taskLog is how task processes log.
func (n *node) taskLog() *rpc.Log {
	if n.cfg.TaskLog == nil {
		return nil
	}
	l := n.cfg.TaskLog()
	return &l
}

func (p *process) release(n *node) {
	if err := n.work.release(p.key()); err != nil {
		p.log.Warn("cannot remove the files of old attempts", "error", err)
	}
}

// supervise talks to the process until it has exited. It returns why the TaskManager ended it,
// or nil, and how it exited.
func (p *process) supervise(n *node, c Child, events chan<- event) (why error, status string) {
	exited := make(chan struct{})
	go func() { defer close(exited); c.AwaitExit() }()
	control := c.Control()
	ears := &listener{process: p, control: control, answers: make(chan error), exited: exited}
	listening := make(chan struct{})
	go func() { defer close(listening); ears.listen(events) }()

	start := rpc.Start{
		Deploy: p.deploy, Local: n.data, Storage: n.cfg.Storage.Location(),
		Scratch: n.work.scratch(), Copies: n.work.copies(n.cfg.Storage.Remote(), p.key().partKey), Log: n.taskLog(),
		Lease: p.lease.now(),
	}
	why = p.watch(n.cfg.Timeouts, c, ears, start)

	status = c.Reap()
	// What the process said last is still in the socket; a grandchild that inherited the
	// other end does not hold us up.
	patience := time.Second
	if p.alive.Err() != nil {
		patience = farewellTime / 2
	}
	_ = control.SetReadDeadline(time.Now().Add(patience))
	<-listening
	return why, status
}

// watch ends the process when it is no longer wanted, or is no task process, and returns why
// in the latter case. It returns once the process has exited.
func (p *process) watch(limits Timeouts, c Child, ears *listener, start rpc.Start) (why error) {
	var speaker sync.WaitGroup
	speaker.Go(func() { p.speak(ears, start) })
	defer speaker.Wait()
	defer func() { _ = ears.control.SetWriteDeadline(time.Now()) }() // for what is being sent still
	overdue := fmt.Errorf("it did not say within %v that it is ready, as the task process of a Perennial job does", limits.Ready)
	deadline := time.NewTimer(limits.Ready)
	defer deadline.Stop()
	wanted, alive := p.wanted.Done(), p.alive.Done()
	var asked time.Time // to end
	for {
		select {
		case err := <-ears.answers:
			switch {
			case err == nil && wanted != nil: // ready
				deadline.Stop()
			case errors.Is(err, errHungUp) && wanted != nil: // it is about to exit
				overdue = err
				deadline.Reset(limits.Stop)
			case err != nil && !errors.Is(err, errHungUp):
				why = cmp.Or(why, err)
				c.Kill()
			}
		case <-deadline.C:
			if wanted == nil {
				p.killStuck(c, asked)
				break
			}
			why = cmp.Or(why, overdue)
			c.Kill()
		case <-wanted:
			wanted, asked = nil, time.Now() // speak asks it to end
			deadline.Reset(limits.Stop)
		case <-alive:
			alive = nil
			if wanted == nil {
				p.killStuck(c, asked)
			} else {
				c.Kill()
			}
		case <-ears.exited:
			return why
		}
	}
}

// speak sends the process what it is told, until it has exited. It does so beside watch, as one that is frozen (SIGSTOP) takes nothing any
// more, and is to be killed none the later. A failure shows as an exit or as silence.
func (p *process) speak(ears *listener, start rpc.Start) {
	_ = ears.control.Send(rpc.Header{}, start)
	for wanted := p.wanted.Done(); ; {
		var m rpc.Message
		select {
		case m = <-p.orders:
		case <-p.lease.news():
			m = *p.lease.now()
		case <-wanted:
			wanted, m = nil, rpc.Cancel{}
		case <-ears.exited:
			return
		}
		select {
		case <-ears.exited: // else whoever has the other end yet would hold this up
			return
		default:
			_ = ears.control.Send(rpc.Header{}, m)
		}
	}
}

// killStuck kills a process that has not ended since it was asked to, and notes that.
func (p *process) killStuck(c Child, asked time.Time) {
	after := time.Since(asked).Round(10 * time.Millisecond)
	p.log.Warn("the task process has not ended although it was asked to, and is killed", "pid", c.PID(), "after", after)
	p.stuck = fmt.Sprintf("task process %d of job %s, which had not ended %v after it was asked to", c.PID(), p.deploy.Spec.ID, after)
	c.Kill()
}

// listener reads what a task process says.
type listener struct {
	*process
	control *rpc.Conn
	answers chan error // nil: ready
	exited  <-chan struct{}
}

// listen passes on what the process says until it hangs up.
func (l *listener) listen(events chan<- event) {
	for {
		_, m, err := l.control.Receive()
		switch {
		case hungUp(err):
			l.answer(errHungUp)
			return
		case err != nil:
			l.answer(fmt.Errorf("it does not speak the protocol of a task process: %w", err))
			return
		}
		if ready, ok := m.(rpc.Ready); ok {
			l.answer(l.checkReady(ready))
			continue
		}
		events <- told{l.process, m}
	}
}

// hungUp tells the end of the connection from what was said over it.
func hungUp(err error) bool {
	_, transport := errors.AsType[*net.OpError](err)
	return transport || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (l *listener) answer(err error) {
	select {
	case l.answers <- err:
	case <-l.exited:
	}
}

func (p *process) checkReady(r rpc.Ready) error {
	if r.Protocol < rpc.OldestTask || r.Protocol > rpc.Protocol+1 {
		return fmt.Errorf("it was built with a release of Perennial that speaks version %d of the protocol, and this TaskManager %d to %d: build the job again, and submit it", r.Protocol, rpc.OldestTask, rpc.Protocol+1)
	}
	if p.lease != nil && !r.Leases {
		return errors.New("it was built with a release of Perennial that knows no leases, and this TaskManager's task processes hold one (taskmanager.isolated: pause): build the job again, and submit it")
	}
	if r.GraphHash != p.deploy.GraphHash {
		return fmt.Errorf("it built another graph (%.12s…) than was planned (%.12s…): a job must build the same graph each time it is started with the same arguments", r.GraphHash, p.deploy.GraphHash)
	}
	return nil
}
