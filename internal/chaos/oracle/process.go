package oracle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/output"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/shuffle"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/task"
)

// process is what a task process would be: the subtasks of some slots of an attempt.
type process struct {
	w        *world
	attempt  job.Attempt
	address  string
	exec     *task.Execution
	exchange *shuffle.Exchange
	abort    context.CancelFunc
}

func address(instance string, region int, n job.Attempt) string {
	return fmt.Sprintf("%s/%d/%d", instance, region, n)
}

func (w *world) startProcess(m *part, in execution.Intent, d execution.Deploy) (*process, error) {
	plan, err := w.Plan(w.Spec)
	if err != nil {
		return nil, err
	}
	store, err := storage.Attach(w.spoils.Dir)
	if err != nil {
		return nil, err
	}
	peers := map[int]string{}
	for slot, instance := range in.Assignment {
		peers[slot] = address(instance, d.Region, d.Attempt)
	}
	p := &process{w: w, attempt: d.Attempt, address: address(m.name, d.Region, d.Attempt)}
	p.exchange = shuffle.NewExchange(shuffle.Config{Job: in.Spec.ID, Region: d.Region, Attempt: d.Attempt, Dial: w.network.dial, Log: quiet})
	w.network.add(p)
	ctx, abort := context.WithCancel(context.Background())
	p.abort = abort
	p.exec, err = task.Start(ctx, plan, task.Assignment{
		Job: in.Spec.ID, Attempt: d.Attempt, Slots: d.Slots, Subtasks: d.Subtasks, Peers: peers, Exchange: p.exchange, Logger: quiet,
		Checkpoints: &task.Checkpoints{Storage: store, Restore: in.Restore, Acknowledge: func(a job.Acknowledgement) {
			w.inbox.post(func() { m.holds(p, a) })
		}},
		Report: func(r rpc.SubtaskReport) { w.inbox.post(func() { m.said(p, r) }) },
	})
	if err != nil {
		p.cancel()
	}
	return p, err
}

// cancel ends the process, and waits for its subtasks.
func (p *process) cancel() {
	p.w.network.remove(p)
	p.abort()
	p.exchange.Close()
	if p.exec != nil {
		_ = p.exec.Wait() // that it was cancelled
		p.exec.Close()
	}
}

// kill is cancel without the subtasks' having removed what they were writing.
func (p *process) kill() {
	left, err := p.hidden()
	if err != nil {
		p.w.fail("look for what a process leaves behind: %v", err)
	}
	p.cancel()
	for path, kept := range left {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			err = os.Rename(kept, path)
			if err != nil {
				p.w.fail("leave %s behind: %v", path, err)
			}
		}
		os.Remove(kept)
	}
}

// hidden are the files that the attempt is writing, each with another name under which it is kept.
func (p *process) hidden() (map[string]string, error) {
	left := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(p.w.Output+"*", ".*"))
	for _, path := range paths {
		name := filepath.Base(path)
		if n, ok := output.ParseHidden(name); !ok || n.Attempt != p.attempt {
			continue
		}
		kept := filepath.Join(p.w.Dir, filepath.Base(filepath.Dir(path))+name)
		if e := os.Link(path, kept); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = e
		} else if e == nil {
			left[path] = kept
		}
	}
	return left, err
}

// network is how processes reach each other.
type network struct {
	mu        sync.Mutex
	reachable map[string]*process // by address
	conns     []net.Conn          // that were dialled
}

func (n *network) add(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reachable[p.address] = p
}

func (n *network) remove(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.reachable, p.address)
}

func (n *network) dial(_ context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.reachable[address]
	if p == nil {
		return nil, fmt.Errorf("%s: connection refused", address)
	}
	here, there := net.Pipe()
	n.conns = append(n.conns, here)
	go func() { // ends with the preamble, or the connection
		if _, err := shuffle.ReadPreamble(there); err != nil {
			there.Close()
			return
		}
		p.exchange.Accept(there)
	}()
	return here, nil
}

// cut breaks every connection that there is.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}
