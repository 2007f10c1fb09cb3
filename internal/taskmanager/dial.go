package taskmanager

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/rpc"
)

// How long a dialer waits after a failure: doubled each time, with jitter.
const (
	firstWait = 20 * time.Millisecond
	longWait  = time.Second
	hush      = time.Second // what is over by then is not worth a line: processes start in any order
)

// pool keeps one dialer per JobManager that discovery names.
type pool struct {
	*node
	as      rpc.Register // how it registers
	events  chan<- event
	linked  context.Context // its end cuts the connections
	retired chan *dialer
}

// dialer holds one JobManager's connection, and dials again when it ends.
type dialer struct {
	*pool
	addr   string
	kick   chan struct{} // dial now: the membership has changed
	wanted chan struct{} // closed when discovery no longer names the address
	gone   bool          // wanted is closed; of the pool's goroutine
}

// run follows discovery until ctx ends, and then waits for the connections to end, which
// is the table's doing.
func (p *pool) run(ctx context.Context) {
	p.retired = make(chan *dialer)
	var wg sync.WaitGroup
	dialers := map[string]*dialer{}
	lists := p.cfg.Discover(ctx)
	for running := true; running; {
		select {
		case addrs, ok := <-lists:
			if !ok {
				lists = nil
				break
			}
			p.update(ctx, &wg, dialers, addrs)
		case d := <-p.retired:
			if dialers[d.addr] == d {
				delete(dialers, d.addr)
			}
		case <-ctx.Done():
			running = false
		}
	}
	wg.Wait()
	for lists != nil { // discovery ends with ctx
		if _, ok := <-lists; !ok {
			lists = nil
		}
	}
}

// update starts dialers for new addresses, wakes those that wait, and lets go of those that
// are named no more once their connection ends. An empty list says that discovery knows
// nothing, and changes nothing.
func (p *pool) update(ctx context.Context, wg *sync.WaitGroup, dialers map[string]*dialer, addrs []string) {
	for _, addr := range addrs {
		if d := dialers[addr]; d != nil && !d.gone {
			select {
			case d.kick <- struct{}{}:
			default:
			}
			continue
		}
		d := &dialer{pool: p, addr: addr, kick: make(chan struct{}, 1), wanted: make(chan struct{})}
		dialers[addr] = d
		wg.Go(func() { d.run(ctx) })
	}
	for addr, d := range dialers {
		if len(addrs) > 0 && !d.gone && !slices.Contains(addrs, addr) {
			d.gone = true
			close(d.wanted)
		}
	}
}

func (d *dialer) run(ctx context.Context) {
	wait, said := firstWait, ""
	good := time.Now() // the last time that nothing was wrong
	for d.stillWanted(ctx) {
		welcomed := false
		err := d.session(ctx, func() { wait, said, welcomed = firstWait, "", true })
		if welcomed {
			good = time.Now()
		}
		if err != nil && err.Error() != said && ctx.Err() == nil && time.Since(good) > hush {
			said = err.Error() // once per reason
			d.log.Warn("no connection to a JobManager; tasks run on, and it is dialed again", "jobmanager", d.addr, "error", err)
		}
		pause := wait/2 + rand.N(wait/2)
		if errors.Is(err, errRefused) {
			pause = d.cfg.Timeouts.Refused
		}
		d.pause(ctx, pause)
		wait = min(2*wait, longWait)
	}
	select {
	case d.retired <- d:
	case <-ctx.Done():
	}
}

func (d *dialer) stillWanted(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-d.wanted:
		return false
	default:
		return true
	}
}

func (d *dialer) pause(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.kick:
	case <-d.wanted:
	case <-ctx.Done():
	}
}

// session registers and reads until the connection ends, and returns why it did.
func (d *dialer) session(ctx context.Context, welcomed func()) error {
	l, err := d.register(ctx, d.addr, d.as)
	if r, ok := errors.AsType[refusal](err); ok && r.m.Dead {
		d.events <- turnedAway{d.addr, r.h, r.m}
	}
	if err != nil {
		return err
	}
	welcomed()
	release := context.AfterFunc(d.linked, func() { l.conn.Close() })
	defer release()
	d.log.Info("registered with a JobManager", "jobmanager", d.addr, "id", l.id, "epoch", l.epoch)

	var writer sync.WaitGroup
	writer.Go(l.write)
	pass := func(e event) { d.events <- e }
	pass(joined{l})
	err = l.read(d.cfg.Timeouts.Silence, pass)
	l.conn.Close()
	pass(left{l})
	writer.Wait()
	return err
}
