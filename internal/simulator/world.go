package simulator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/memory"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
)

// settling is how long a healed cluster may take until all is well (L1).
const settling = 60 * time.Second

// Result is what came of a run.
type Result struct {
	Violations []string // none: all is well
	Story      []string // what happened
	Trace      uint64   // a hash of it, and of when
	Faults     map[Kind]int
	Epochs     int // claimed
	Restarts   int
	Completed  int // checkpoints
	// Tempted tells how often a rule could have been broken: a message of a lower epoch came to a TaskManager (R2 and its kind), a trigger of
	// an attempt that was over (R5), a deploy of one that it had promised would not run (R6), a leader to which it owed the end
	// of an attempt, or an acknowledgement (R12).
	Tempted map[string]int
}

// Options are how a Plan is carried out.
type Options struct {
	Dir string       // for files: of output, and work directories
	Log *slog.Logger // nil: nothing is logged
	// StaleCommits makes coordination a broken one, for tests of the checker: who was replaced may write.
	StaleCommits bool
}

// world is a run. Its owner is Run's caller; the mutex guards what others read.
type world struct {
	plan      Plan
	dir       string
	log       *slog.Logger
	net       *network
	disk      *disk
	service   *service
	check     *checker
	agenda    []event
	lives     map[string]int
	remains   map[string][]byte // what a TaskManager leaves in its work directory
	running   sync.WaitGroup
	closing   bool // the run is over: what ends now ends for that; of the checker's mutex
	faults    map[Kind]int
	artifact  string
	clients   *process
	submitted map[job.ID]bool // acknowledged, of the mutex
	cancelled map[job.ID]bool

	mu        sync.Mutex
	draw      *rand.Rand
	hosts     map[string]*host // by name
	links     map[string]link
	processes []*process
	pids      int
}

// event is something that the owner does at a time.
type event struct {
	at time.Duration
	do func()
}

func (h *host) isManager() bool { return h.name[:2] == "tm" }

// Run carries out a plan, in a bubble of testing/synctest, of which it makes a long one. It returns an error
// for a plan that is impossible, or if it could not begin.
func Run(plan Plan, o Options) (Result, error) {
	if err := plan.Check(); err != nil {
		return Result{}, fmt.Errorf("this plan is impossible: %w", err)
	}
	if o.Dir == "" {
		return Result{}, errors.New("a run needs a directory")
	}
	w := &world{
		plan: plan, dir: o.Dir, log: o.Log, lives: map[string]int{}, remains: map[string][]byte{}, faults: map[Kind]int{},
		hosts: map[string]*host{}, links: map[string]link{}, submitted: map[job.ID]bool{}, cancelled: map[job.ID]bool{},
		draw: rand.New(rand.NewPCG(plan.Seed, 1)),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.check = newChecker(w)
	w.net, w.disk = newNetwork(rand.New(rand.NewPCG(plan.Seed, 2))), newDisk(rand.New(rand.NewPCG(plan.Seed, 3)))
	w.net.tap = newTap()
	w.net.tap.heard, w.net.tap.beats = w.check.heard, w.check.beats
	w.service = &service{w: w, cluster: memory.NewWatched(w.check.changed), terms: map[coordination.Epoch]coordination.Term{}, stale: o.StaleCommits}
	if err := w.build(); err != nil {
		return Result{}, err
	}
	w.carryOut()
	w.close()
	return w.result(), nil
}

func (w *world) note(format string, args ...any) { w.check.note(format, args...) }

// between draws a time, in milliseconds.
func (w *world) between(low, high int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(low*1000+w.draw.IntN((high-low)*1000)) * time.Microsecond
}

// build makes the hosts, and what a job needs that a client would upload.
func (w *world) build() error {
	jms, tms := w.plan.hosts()
	for i, name := range jms {
		w.addHost(name, fmt.Sprintf("10.0.0.%d", i+1))
	}
	for i, name := range tms {
		w.addHost(name, fmt.Sprintf("10.0.1.%d", i+1))
	}
	w.clients = w.newProcess(w.addHost("client", "10.0.2.1"), "client")
	w.clients.host.process = w.clients
	store := storage.Over(view{w.disk, nil})
	var err error
	w.artifact, err = putBinary(store)
	return err
}

func (w *world) addHost(name, address string) *host {
	h := &host{name: name, address: address}
	w.hosts[name], w.net.hosts[address] = h, h
	return h
}

// carryOut is the run: the plan, then healing, then what must come of that.
func (w *world) carryOut() {
	jms, tms := w.plan.hosts()
	for _, name := range append(jms, tms...) {
		w.power(w.hosts[name])
	}
	for _, j := range w.plan.Jobs {
		w.running.Go(func() { w.request(j) })
	}
	for _, f := range w.plan.Faults {
		w.at(f.At, func() { w.befall(f) })
	}
	w.at(w.plan.Length, w.heal)
	for len(w.agenda) > 0 && !w.check.isBroken() {
		e := w.agenda[0]
		w.agenda = w.agenda[1:]
		time.Sleep(time.Until(w.check.began.Add(e.at)))
		e.do()
		synctest.Wait()
		w.check.outputs(false)
		w.check.kept()
	}
	if !w.check.isBroken() {
		w.settle()
	}
}

// at puts something on the agenda, behind what is there for that time.
func (w *world) at(at time.Duration, do func()) {
	i, _ := slices.BinarySearchFunc(w.agenda, at, func(e event, at time.Duration) int {
		return cmp.Or(cmp.Compare(e.at, at), -1)
	})
	w.agenda = slices.Insert(w.agenda, i, event{at, do})
}

// power starts what a host is for, unless it runs.
func (w *world) power(h *host) {
	if h.process != nil && w.isUp(h) {
		return
	}
	if h.dark {
		w.net.lights(h)
	}
	run := w.runJobManager
	if h.isManager() {
		run = w.runTaskManager
	}
	w.start(h, run)
}

// heal ends what is still wrong.
func (w *world) heal() {
	w.note("-- all is healed")
	jms, tms := w.plan.hosts()
	for _, name := range append(jms, tms...) {
		w.power(w.hosts[name])
	}
}

// settle waits until the healed cluster is as it must be (L1), and says what it is not.
func (w *world) settle() {
	deadline := time.Now().Add(settling)
	var wrong error
	for time.Now().Before(deadline) && !w.check.isBroken() {
		time.Sleep(time.Second)
		synctest.Wait()
		w.check.outputs(false)
		if wrong = w.wrong(); wrong == nil {
			break
		}
	}
	if wrong != nil {
		w.check.violate("L1", "%v after everything was healed: %v", settling, wrong)
	}
	w.check.outputs(wrong == nil)
	w.check.kept()
}

// wrong tells what is not yet as it should be in the end, or nil.
func (w *world) wrong() error {
	jms, _ := w.plan.hosts()
	var leaders []string
	for _, name := range jms {
		w.mu.Lock()
		api := w.hosts[name].process.api
		w.mu.Unlock()
		if api != nil && api.Self().Role == leaderRole {
			leaders = append(leaders, name)
		}
	}
	if len(leaders) != 1 {
		return fmt.Errorf("%v lead", leaders)
	}
	for _, j := range w.plan.Jobs {
		if err := w.wrongWith(j); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) wrongWith(j Job) error {
	in := w.check.snapshot(j.ID)
	w.mu.Lock()
	submitted, cancelled := w.submitted[j.ID], w.cancelled[j.ID]
	w.mu.Unlock()
	began := w.check.began.Add(w.plan.Length)
	switch {
	case !submitted:
		return fmt.Errorf("job %s: its client has no answer", j.ID.Short())
	case j.CancelAt > 0 && !cancelled:
		return fmt.Errorf("job %s: who cancels it has no answer", j.ID.Short())
	case cancelled && in.Phase != execution.Canceled && in.Phase != execution.Finished:
		return fmt.Errorf("job %s is %s, and was cancelled", j.ID.Short(), in.Phase)
	case cancelled || in.Phase == execution.Finished:
	case j.Records > 0:
		return fmt.Errorf("job %s is %s %s", j.ID.Short(), in.Phase, in.Failure)
	case in.Phase != execution.Running || len(in.Completed) == 0 || in.Completed[0].Triggered.Before(began):
		return fmt.Errorf("job %s is %s, checkpoint %d is open and %d the newest completed one %s", j.ID.Short(), in.Phase, in.Open, newest(&in), in.Failure)
	}
	return nil
}

// close ends everything.
func (w *world) close() {
	w.note("-- the run ends")
	w.check.mu.Lock()
	w.closing = true
	w.check.mu.Unlock()
	w.mu.Lock()
	processes := slices.Clone(w.processes)
	w.mu.Unlock()
	for _, p := range processes {
		w.net.silence(p, true)
		p.silence()
		p.freeze(false)
		if p.end != nil {
			p.end()
		}
		p.expire()
	}
	w.net.silence(w.clients, true)
	w.clients.silence()
	w.running.Wait()
	for _, p := range processes {
		p.expire() // what it opened meanwhile
	}
}

func (w *world) result() Result {
	w.check.mu.Lock()
	defer w.check.mu.Unlock()
	r := Result{Violations: w.check.violations, Story: w.check.story, Trace: w.check.trace.Sum64(), Faults: w.faults, Epochs: int(w.check.epoch), Tempted: w.check.tempted}
	for _, in := range w.check.jobs {
		r.Restarts += in.TotalRestarts
		r.Completed += in.Completions
	}
	return r
}

// request is a client's part in a job: it submits it, and may cancel it.
func (w *world) request(j Job) {
	ctx := w.clients.heard
	c := client.NewOver(w.net.dial(w.clients), locator{w})
	defer c.Close()
	if sleep(ctx, j.At) != nil {
		return
	}
	args, err := json.Marshal(program{j.Records, j.Apart})
	if err != nil {
		panic(err) // a number and a boolean
	}
	spec := client.Spec{ID: j.ID, Name: "job", Artifact: w.artifact, Parallelism: j.Parallelism, Args: []string{string(args)}}
	if _, err := c.Submit(ctx, spec); !w.acknowledged("submit", j, w.submitted, err) || j.CancelAt == 0 {
		return
	}
	if sleep(ctx, time.Until(w.check.began.Add(j.CancelAt))) != nil {
		return
	}
	_, err = c.Cancel(ctx, j.ID)
	w.acknowledged("cancel", j, w.cancelled, err)
}

// acknowledged notes the answer to a request. One that was acknowledged has its effect at once, and for ever (I7).
func (w *world) acknowledged(what string, j Job, noted map[job.ID]bool, err error) bool {
	if w.clients.heard.Err() != nil {
		return false
	}
	if err != nil {
		w.check.violate("I7", "%s of job %s was refused: %v", what, j.ID.Short(), err)
		return false
	}
	w.note("%s of job %s is acknowledged", what, j.ID.Short())
	in := w.check.snapshot(j.ID)
	if in.Phase == "" || what == "cancel" && in.Phase != execution.Cancelling && in.Phase != execution.Publishing && !in.Phase.Terminal() {
		w.check.violate("I7", "%s of job %s is acknowledged, and it is %q", what, j.ID.Short(), in.Phase)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	noted[j.ID] = true
	return true
}

// locator knows where JobManagers are, running or not.
type locator struct{ w *world }

func (l locator) Addresses(context.Context) (list []string, err error) {
	jms, _ := l.w.plan.hosts()
	for _, name := range jms {
		list = append(list, l.w.hosts[name].address+":"+restPort)
	}
	if len(list) == 0 {
		err = errors.New("there is no JobManager")
	}
	return list, err
}

func (locator) Close() error { return nil }
