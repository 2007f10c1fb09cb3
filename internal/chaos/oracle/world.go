package oracle

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/storage"
)

// Config of a run.
type Config struct {
	Seed   int
	Dir    string // for the storage; the caller removes it
	Output string // the directory of the job's sink
	Spec   job.Spec
	Plan   func(job.Spec) (*operator.Plan, error)
	// Want is how many lines an unbounded job puts out in all: it is then cancelled. 0: it is bounded.
	Want   int
	Faults int
	Length time.Duration // in which they come
}

// Result is what a run came to.
type Result struct {
	Faults      map[string]int
	Restarts    int
	Checkpoints int      // the newest id
	Story       []string // what happened, for a person
}

// limit is when a job that has not ended never will.
const limit = time.Minute

// world is all there is.
type world struct {
	Config
	draw    *rand.Rand
	ctx     context.Context
	store   *storage.Storage
	spoils  chaos.Storage
	network network
	began   time.Time
	result  Result
	failure error // of the world itself, or of a rule that was broken
	inbox   inbox

	intent   execution.Intent // as committed
	graph    *job.Graph       // of the attempt that comes next, or runs
	managers []*manager       // not known to be dead
	zombies  []*manager       // declared dead, and alive
	buried   []string         // declared dead
	named    int              // how many managers there ever were

	exec  *execution.Execution // of the leader; nil: nobody leads
	epoch uint64
	away  func() error // brings the storage back; nil: it is there

	damaged map[job.CheckpointID]bool
}

// Run runs the job to its end.
func Run(ctx context.Context, c Config) (Result, error) {
	w := &world{Config: c, ctx: ctx, began: time.Now(), draw: rand.New(rand.NewPCG(uint64(c.Seed), 3))}
	w.result.Faults, w.damaged = map[string]int{}, map[job.CheckpointID]bool{}
	w.inbox.wake = make(chan struct{}, 1)
	w.network.reachable = map[string]*process{}
	w.spoils = chaos.Storage{Dir: filepath.Join(c.Dir, "storage")}
	var err error
	if w.store, err = storage.Open(w.ctx, w.spoils.Dir); err != nil {
		return w.result, err
	}
	// Without it a missing file would be that of a storage that is away.
	if _, err = w.store.CreateIncarnation(ctx, "oracle"); err != nil {
		return w.result, err
	}
	w.intent = execution.Intent{Spec: c.Spec, Phase: execution.Created}
	for range 2 + w.draw.IntN(2) {
		w.join()
	}
	w.begin()
	err = w.run(ctx)
	w.close()
	w.result.Restarts, w.result.Checkpoints = w.intent.TotalRestarts, int(w.intent.Reserved)
	return w.result, err
}

// begin sets off what comes by time.
func (w *world) begin() {
	w.lead()
	w.every(w.Length/20+time.Duration(w.draw.Int64N(int64(w.Length/20))), func() { w.tell(execution.CheckpointDue{}) })
	w.every(700*time.Millisecond, w.expire)
	w.every(50*time.Millisecond, w.enough)
	for range w.Faults {
		w.after(time.Duration(w.draw.Int64N(int64(w.Length))), w.fault)
	}
	w.after(limit, w.stuck)
}

func (w *world) run(ctx context.Context) error {
	for {
		for _, do := range w.inbox.take() {
			if w.failure != nil {
				return w.failure
			}
			if w.intent.Phase.Terminal() {
				break
			}
			do()
		}
		if w.failure == nil && w.intent.Phase.Terminal() {
			return w.ended()
		}
		select {
		case <-w.inbox.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *world) ended() error {
	want := execution.Finished
	if w.Want > 0 {
		want = execution.Canceled
	}
	if w.intent.Phase != want {
		return fmt.Errorf("the job is %s: %s", w.intent.Phase, w.intent.Failure)
	}
	return nil
}

// close leaves nothing behind.
func (w *world) close() {
	for _, m := range slices.Concat(w.managers, w.zombies) {
		m.connected = false
		m.end()
	}
	w.returnStorage()
}

// enough cancels an unbounded job when all has come out, or too much.
func (w *world) enough() {
	if w.Want == 0 {
		return
	}
	if lines, err := chaos.Lines(w.Output); err != nil || len(lines) >= w.Want {
		w.tell(execution.CancelRequested{})
	}
}

// expire gives up a checkpoint that was open a while ago.
func (w *world) expire() {
	open := w.intent.Open
	w.after(500*time.Millisecond, func() {
		if open != 0 && open == w.intent.Open {
			w.tell(execution.CheckpointExpired{Checkpoint: open})
		}
	})
}

// stuck tells what a job waits for that should have ended long ago.
func (w *world) stuck() {
	for _, m := range w.managers {
		for _, p := range m.parts {
			w.note("%s: connected %v, region %d: promised %d, %+v", m.name, m.connected, p.region, p.promised, p.current)
		}
	}
	if w.exec != nil {
		w.note("%+v", w.exec.View())
	}
	w.fail("the job is %s after %v, assigned to %v", w.intent.Phase, limit, w.intent.Assignment)
}

func (w *world) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf(format, args...)
		w.note("%v", w.failure)
	}
}

func (w *world) note(format string, args ...any) {
	at := time.Since(w.began).Round(time.Millisecond)
	w.result.Story = append(w.result.Story, fmt.Sprintf("%8v %s", at, fmt.Sprintf(format, args...)))
}

// after does something when a time has passed.
func (w *world) after(d time.Duration, do func()) { time.AfterFunc(d, func() { w.inbox.post(do) }) }

func (w *world) every(d time.Duration, do func()) {
	w.after(d, func() { do(); w.every(d, do) })
}

// soon is a short time.
func (w *world) soon() time.Duration { return time.Duration(w.draw.IntN(30)) * time.Millisecond }

// chance is true so many times in a thousand.
func (w *world) chance(permille int) bool { return w.draw.IntN(1000) < permille }

var quiet = slog.New(slog.DiscardHandler)

// inbox is what is to be done by the owner of the world. It is not bounded: a run ends.
type inbox struct {
	mu   sync.Mutex
	todo []func()
	wake chan struct{}
}

func (i *inbox) post(do func()) {
	i.mu.Lock()
	i.todo = append(i.todo, do)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) take() []func() {
	i.mu.Lock()
	defer i.mu.Unlock()
	todo := i.todo
	i.todo = nil
	return todo
}
