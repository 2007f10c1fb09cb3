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
	said    chan saying
}

// saying is what a dialer has heard from its JobManager: who it is ("": the connection has ended), and who the others are.
type saying struct {
	addr, id string
	others   []rpc.Whereabouts
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
	p.retired, p.said = make(chan *dialer), make(chan saying)
	var wg sync.WaitGroup
	dialers := map[string]*dialer{}
	lists := p.cfg.Discover(ctx)
	k := whereabouts{linked: map[string]string{}}
	for running := true; running; {
		select {
		case addrs, ok := <-lists:
			if !ok {
				lists = nil
				break
			}
			if len(addrs) > 0 {
				k.found = addrs
			}
			p.update(ctx, &wg, dialers, k.addresses())
		case s := <-p.said:
			if before := k.addresses(); !slices.Equal(before, k.hear(s)) {
				p.update(ctx, &wg, dialers, k.addresses())
			}
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

// maxTold bounds the addresses that are taken over from a JobManager.
const maxTold = 64

// whereabouts is where JobManagers are, as discovery and they themselves say.
type whereabouts struct {
	found  []string          // by discovery
	told   []rpc.Whereabouts // by the JobManager that was heard last
	linked map[string]string // id of the JobManager at the other end, by the address that was dialed
}

// hear takes note, and returns the addresses.
func (k *whereabouts) hear(s saying) []string {
	if delete(k.linked, s.addr); s.id != "" {
		k.linked[s.addr] = s.id
	}
	if len(s.others) > 0 {
		k.told = s.others[:min(len(s.others), maxTold)]
	}
	return k.addresses()
}

// addresses are those to dial. One that was told is not, while a link to its JobManager stands at an address that
// discovery found: of two links the JobManager would close the older one, again and again.
func (k *whereabouts) addresses() []string {
	all := slices.Clone(k.found)
	for _, w := range k.told {
		elsewhere := slices.ContainsFunc(k.found, func(addr string) bool { return k.linked[addr] == w.ID })
		if !elsewhere && !slices.Contains(all, w.Address) {
			all = append(all, w.Address)
		}
	}
	return all
}

// tell passes on what a JobManager said. The pool hears it as long as ctx lasts.
func (d *dialer) tell(ctx context.Context, id string, others []rpc.Whereabouts) {
	select {
	case d.said <- saying{d.addr, id, others}:
	case <-ctx.Done():
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
	pass := func(e event) {
		if r, ok := e.(received); ok {
			if w, ok := r.m.(rpc.Welcome); ok {
				d.tell(ctx, l.id, w.JobManagers)
				return
			}
		}
		d.events <- e
	}
	pass(joined{l})
	d.tell(ctx, l.id, l.others)
	defer d.tell(ctx, "", nil)
	err = l.read(d.cfg.Timeouts.Silence, pass)
	l.conn.Close()
	pass(left{l})
	writer.Wait()
	return err
}
