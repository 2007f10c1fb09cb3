package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/perennial-io/perennial/internal/boottime"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/shuffle"
	"github.com/perennial-io/perennial/internal/storage"
)

// How a TaskManager tells a job's binary what to be.
const (
	RoleVariable = "PERENNIAL_ROLE" // unset, RolePlan or RoleTask
	RolePlan     = "plan"           // write the graph, or an error, to file descriptor 3
	RoleTask     = "task"           // run subtasks: rpc on 3, data connections on 4
	SpecVariable = "PERENNIAL_SPEC" // the job.Spec as JSON, for RolePlan
)

const (
	controlDescriptor = 3
	dataDescriptor    = 4

	progressEvery = time.Second
)

// Builder builds the plan of the job that this binary is.
type Builder func(job.Spec) (*operator.Plan, error)

// errNotTaken says that one data connection was lost on its way here, as when this process has no
// descriptor left: its peer sees it closed, and dials again.
var errNotTaken = errors.New("a data connection was not taken over")

// errGone says that the TaskManager has closed its end: it has died, or wants this process dead.
var errGone = errors.New("the TaskManager has gone")

// process is a task process: the subtasks of some slots, under a TaskManager. It ends at once
// when the TaskManager goes away, whatever user code is doing: the process is what fences it.
//
// It does not end by itself. When all of its subtasks are final it stays, idle, until it is told
// that the attempt is over: producers in other processes are not FINISHED before they have the
// credit for all that was released here, and whether they have it this process cannot know. They
// may dial it again for that.
type process struct {
	conn   *rpc.Conn
	start  rpc.Start
	cancel context.CancelCauseFunc
	orders chan rpc.Message // about checkpoints, until the execution takes them
	lease  *Lease           // nil: there is none
	log    *slog.Logger

	profiles inspect.Profiles // end with the process
}

// Process is the main function of a task process, and returns its exit status: 0 once the
// TaskManager has told it to end and every subtask has.
func Process(build Builder) int {
	conn, err := inherited(controlDescriptor)
	if err != nil {
		return fatal("control connection", err)
	}
	data, err := inherited(dataDescriptor)
	if err != nil {
		return fatal("data connections", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &process{conn: rpc.New(conn), cancel: cancel, orders: make(chan rpc.Message, 64)}
	started := make(chan rpc.Start, 1)
	go p.listen(started) // ends with the process
	p.start = <-started
	p.log = logger(os.Stderr, p.start)
	plan, err := p.build(build)
	if err != nil {
		return fatal("build the job", err)
	}
	if err := p.run(ctx, plan, data); err != nil {
		return fatal("run the job", err)
	}
	return 0
}

// logger names the attempt in every line.
func logger(w io.Writer, start rpc.Start) *slog.Logger {
	l := slog.Default()
	if how := start.Log; how != nil {
		o := &slog.HandlerOptions{Level: how.Level}
		l = slog.New(slog.NewTextHandler(w, o))
		if how.Format == "json" {
			l = slog.New(slog.NewJSONHandler(w, o))
		}
	}
	return l.With("job", start.Deploy.Spec.ID, "attempt", start.Deploy.Attempt)
}

func fatal(what string, err error) int {
	fmt.Fprintf(os.Stderr, "perennial: %s: %v\n", what, err)
	return 1
}

// inherited returns the socket that the parent passed on. User code's own children do not get it.
func inherited(descriptor uintptr) (net.Conn, error) {
	f := os.NewFile(descriptor, "descriptor "+strconv.Itoa(int(descriptor)))
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d is not open: the %s role is for processes that a TaskManager starts", descriptor, RoleTask)
	}
	defer f.Close()
	return net.FileConn(f)
}

// listen reads what the TaskManager says. When the TaskManager has gone it ends the process.
func (p *process) listen(started chan<- rpc.Start) {
	for {
		_, m, err := p.conn.Receive()
		if err != nil {
			os.Exit(fatal("control connection", fmt.Errorf("%w: %w", errGone, err)))
		}
		switch m := m.(type) {
		case rpc.Start:
			if p.lease == nil && m.Lease != nil {
				p.lease = NewLease(m.Lease.Until, boottime.Now)
			}
			select {
			case started <- m:
			default: // it is sent once
			}
		case rpc.Lease:
			p.lease.Renew(m.Until)
		case rpc.Cancel:
			p.cancel(context.Canceled)
		case rpc.Inspect:
			p.inspect(m)
		case rpc.Trigger, rpc.Closed, rpc.Drain:
			select {
			case p.orders <- m:
			default: // it does not keep up: the checkpoint's time-out closes it
			}
		}
	}
}

// inspect answers a question about this process, which nothing waits for: profiles are taken beside it.
func (p *process) inspect(m rpc.Inspect) {
	answer := rpc.Inspected{Query: m.Query, Error: "a task process shows profiles of itself only"}
	if m.Profile != nil {
		piece, err := p.profiles.Answer(m.Question)
		answer.Piece, answer.Error = piece, ""
		if err != nil {
			answer.Error = err.Error()
		}
	}
	_ = p.conn.Send(rpc.Header{}, answer) // listen, which calls this, sees it too
}

// build builds the plan and makes sure that it is the one that was planned.
func (p *process) build(build Builder) (*operator.Plan, error) {
	plan, err := build(p.start.Deploy.Spec)
	if err != nil {
		return nil, err
	}
	want, got := p.start.Deploy.GraphHash, plan.Graph.Hash()
	if got != want {
		return nil, fmt.Errorf("this process built graph %.12s, but %.12s was planned: "+
			"a job must build the same graph in every process, from its arguments alone", got, want)
	}
	return plan, p.conn.Send(rpc.Header{}, rpc.Ready{GraphHash: got, Protocol: rpc.Protocol, Leases: true})
}

func (p *process) run(ctx context.Context, plan *operator.Plan, data net.Conn) error {
	d := p.start.Deploy
	exchange := shuffle.NewExchange(shuffle.Config{Job: d.Spec.ID, Region: d.Region, Attempt: d.Attempt, Log: p.log})
	defer exchange.Close()
	peers, err := slotPeers(d.Peers)
	if err != nil {
		return err
	}
	checkpoints, err := p.checkpoints()
	if err != nil {
		return err
	}
	x, err := Start(ctx, plan, Assignment{
		Job: d.Spec.ID, Attempt: d.Attempt, Slots: d.Slots, Subtasks: d.Subtasks, Peers: peers, Dir: d.Spec.Dir, Scratch: p.start.Scratch, Copies: p.start.Copies,
		Logger: p.log, Exchange: exchange, Report: p.report,
		Checkpoints: checkpoints, Lease: p.lease,
	})
	if err != nil {
		return err
	}
	go p.accept(data, exchange) // ends with the process
	go p.obey(x)                // likewise
	p.follow(x)
	<-ctx.Done() // the exchange answers its peers until then
	x.Close()
	return nil
}

func slotPeers(byName map[string]string) (map[int]string, error) {
	peers := map[int]string{}
	for name, address := range byName {
		slot, err := strconv.Atoi(name)
		if err != nil {
			return nil, fmt.Errorf("peer %q is no slot number", name)
		}
		peers[slot] = address
	}
	return peers, nil
}

// report sends a subtask's new state. Without a TaskManager there is nothing to live for.
func (p *process) report(r rpc.SubtaskReport) {
	d := p.start.Deploy
	status := rpc.Status{AttemptReport: rpc.AttemptReport{
		Job: d.Spec.ID, Region: d.Region, Attempt: d.Attempt, PID: os.Getpid(), Subtasks: []rpc.SubtaskReport{r},
	}}
	if err := p.conn.Send(rpc.Header{}, status); err != nil {
		os.Exit(fatal("control connection", fmt.Errorf("%w: %w", errGone, err)))
	}
}

// checkpoints says how the execution takes part in checkpoints.
func (p *process) checkpoints() (*Checkpoints, error) {
	if p.start.Storage == "" { // an older TaskManager
		return nil, nil
	}
	store, err := storage.Attach(p.start.Storage)
	return &Checkpoints{Storage: store, Restore: p.start.Deploy.Restore, Acknowledge: p.acknowledge}, err
}

func (p *process) acknowledge(ack job.Acknowledgement) {
	d := p.start.Deploy
	m := rpc.Acknowledge{Job: d.Spec.ID, Attempt: d.Attempt, Acks: []job.Acknowledgement{ack}}
	err := p.conn.Send(rpc.Header{}, m)
	if errors.Is(err, rpc.ErrTooLarge) {
		m.Acks[0] = job.Acknowledgement{Checkpoint: ack.Checkpoint, Subtask: ack.Subtask, Failure: fmt.Sprintf("%d outputs and %d states: %v", len(ack.Outputs), len(ack.States), err)}
		err = p.conn.Send(rpc.Header{}, m)
	}
	if err != nil {
		p.log.Debug("an acknowledgement was not sent", "error", err) // listen sees it too
	}
}

// obey passes on what the leader says about checkpoints.
func (p *process) obey(x *Execution) {
	for m := range p.orders {
		switch m := m.(type) {
		case rpc.Trigger:
			failpoint.TaskTriggered.Reached()
			x.Trigger(m.Checkpoint, m.Base, m.Stop)
		case rpc.Closed:
			x.Closed(m.Checkpoint, m.Completed, m.Published, m.Resume)
		case rpc.Drain:
			x.Drain()
		}
	}
}

// follow sends counters every second, and once more when all subtasks have ended.
func (p *process) follow(x *Execution) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = x.Wait() // each failure was reported with its subtask
	}()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.progress(x)
		case <-ended:
			p.progress(x)
			return
		}
	}
}

func (p *process) progress(x *Execution) {
	ids, counters := x.Progress()
	m := rpc.Progress{Job: p.start.Deploy.Spec.ID, Attempt: p.start.Deploy.Attempt, Subtasks: ids, Counters: counters}
	if err := p.conn.Send(rpc.Header{}, m); err != nil {
		p.log.Debug("progress was not sent", "error", err) // listen sees it too
	}
}

// accept takes over the data connections that the TaskManager accepted for this process.
func (p *process) accept(data net.Conn, exchange *shuffle.Exchange) {
	for {
		c, err := receiveConn(data)
		if errors.Is(err, errNotTaken) {
			p.log.Warn("a data connection was not taken over; its peer dials again", "error", err)
			continue
		}
		if err != nil {
			p.log.Warn("no more data connections can be taken over", "error", err)
			return
		}
		exchange.Accept(c)
	}
}

// PlanProcess is the main function of a process that only plans: it writes the job.Graph as
// JSON to file descriptor 3. What is wrong with the job goes to standard error, and its status is
// then 1. Standard output is user code's, which may print as it likes.
func PlanProcess(build Builder) int {
	out := os.NewFile(controlDescriptor, "plan")
	if out == nil {
		return fatal("plan", fmt.Errorf("file descriptor %d is not open: the %s role is for processes that a TaskManager starts", controlDescriptor, RolePlan))
	}
	defer out.Close()
	var spec job.Spec
	if err := json.Unmarshal([]byte(os.Getenv(SpecVariable)), &spec); err != nil {
		return fatal("plan: "+SpecVariable, err)
	}
	plan, err := build(spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // the TaskManager says the rest
		return 1
	}
	if err := json.NewEncoder(out).Encode(plan.Graph); err != nil {
		return fatal("plan", err)
	}
	return 0
}
