package minicluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
)

// errKilled is what a killed process gets from the world, in the moment in which it still runs.
var errKilled = errors.New("minicluster: this process was killed")

// process is one life of a part: one call of jobmanager.Run or taskmanager.Run, in a real cluster
// an operating system process.
type process struct {
	part string // cuts are between parts: they outlast a restart
	name string // of this life: jm-1, after a restart jm-1.2
	c    *Cluster

	end  context.CancelFunc
	done chan struct{} // closed when Run has returned err
	err  error

	heard   context.Context // ends when nothing that it sends goes anywhere any more
	silence context.CancelFunc
	gone    chan struct{} // closed when the others see its connections end
}

// part is what is killed and started again.
type part struct {
	c    *Cluster
	name string
	run  func(ctx context.Context, p *process) error
	// bury ends what a process that was killed leaves behind, until p.done is closed.
	bury func(p *process)

	mu     sync.Mutex
	lives  int
	now    *process        // the latest life; nil before the first
	stores []*memory.Store // sessions with coordination, of all lives
	cut    bool            // from coordination
}

// Name is the part's, whichever life it is in: jm-1, tm-2.
func (p *part) Name() string { return p.name }

// Start begins a new life of a part that has none, and returns at once.
func (p *part) Start() {
	p.c.t.Helper()
	if p.Alive() {
		p.c.t.Fatalf("%s is started while it runs", p.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lives++
	name := p.name
	if p.lives > 1 {
		name = fmt.Sprintf("%s.%d", p.name, p.lives)
	}
	ctx, end := context.WithCancel(context.Background())
	life := &process{part: p.name, name: name, c: p.c, end: end, done: make(chan struct{}), gone: make(chan struct{})}
	life.heard, life.silence = context.WithCancel(context.Background())
	p.now = life
	go func() {
		defer close(life.done)
		life.err = p.run(ctx, life)
	}()
}

// Stop ends the part as SIGTERM does, and waits for its end and until what it said last is sent.
func (p *part) Stop() {
	p.c.t.Helper()
	life := p.life()
	life.end()
	<-life.done
	p.c.network.drain(life)
	p.c.network.remove(life)
	if life.err != nil {
		p.c.t.Errorf("%s ended: %v", life.name, life.err)
	}
}

// Kill ends the part as SIGKILL does; the package comment tells how. Its session with
// coordination stays until ExpireSession.
func (p *part) Kill() {
	p.c.t.Helper()
	life := p.life()
	p.c.network.silence(life)
	life.end()
	if p.bury != nil {
		p.bury(life)
	}
	<-life.done
	p.c.network.remove(life)
}

// life is the present one.
func (p *part) life() *process {
	p.c.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil || p.now.isGone() {
		p.c.t.Fatalf("%s does not run", p.name)
	}
	return p.now
}

// Alive reports whether the part was started, and neither stopped nor killed since.
func (p *part) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now != nil && !p.now.isGone()
}

// CutCoordination keeps every request from reaching coordination, until HealCoordination: those
// that are made meanwhile arrive then, as bytes in a socket do.
func (p *part) CutCoordination() { p.link(true, (*memory.Store).Cut) }

// HealCoordination ends CutCoordination.
func (p *part) HealCoordination() { p.link(false, (*memory.Store).Heal) }

// ExpireSession ends the part's sessions as coordination does with those not heard of for long.
func (p *part) ExpireSession() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stores {
		s.Expire()
	}
}

func (p *part) link(cut bool, change func(*memory.Store)) {
	p.mu.Lock()
	p.cut = cut
	stores := append([]*memory.Store(nil), p.stores...)
	p.mu.Unlock()
	for _, s := range stores { // not under the mutex: what waited now goes on
		change(s)
	}
}

// open begins a session with coordination for one life of the part.
func (p *part) open(life *process) func(context.Context) (coordination.Store, error) {
	return func(context.Context) (coordination.Store, error) {
		if life.isSilent() {
			return nil, errKilled
		}
		s := p.c.coordination.Open()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stores = append(p.stores, s)
		if p.cut {
			s.Cut()
		}
		return &store{Store: s, process: life}, nil
	}
}

func (p *process) isSilent() bool { return p.heard.Err() != nil }
func (p *process) isGone() bool   { return isClosed(p.gone) }

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
