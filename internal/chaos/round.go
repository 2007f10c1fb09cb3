package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// Config of a round: one job at one site.
type Config struct {
	*Site            // whose cluster has room for the job's slots twice, and short checkpoint intervals
	Binary    string // of the job, whose main calls Main
	Dir       string // for outputs; the caller removes it
	Seed      int
	Records   int
	Rate      float64 // records per second: with Records how long the job lasts undisturbed
	Unbounded bool
	Faults    int // to be done; the job may end before
	Plan      Plan
	Requests  bool // clients ask meanwhile
	Say       func(format string, args ...any)
}

// Result is what a round came to.
type Result struct {
	Faults                            Tally
	Lines, Lost, Duplicated, Restarts int
	Checkpoints                       int // the newest id
	Aborted                           int // checkpoints that were given up
	Kills                             int // processes that were killed
	Ended                             int // processes that ended by themselves, and were started again
	Requests                          int // of clients
	Unanswered                        int // of them: what became of them is not known
	Unchecked                         int // 1: the history of requests was not checked to its end
	Witnessed                         int // attempts of subtasks that were held against each other
	Spared                            int // faults that were drawn, and had nothing to be done to
	Epochs                            int // that began
	Gentle                            int // 1: no task was to notice
	Violations                        []Violation
}

// Wrong reports whether something was not as it must be.
func (r Result) Wrong() bool { return len(r.Violations) > 0 }

func (r Result) String() string {
	n := 0
	for _, one := range r.Faults {
		n += len(one.each)
	}
	return fmt.Sprintf("%d faults, %d kills, %d epochs, %d restarts, %d checkpoints (%d given up), %d requests, %d lines, %d lost, %d duplicated, %d violations",
		n, r.Kills, r.Epochs, r.Restarts, r.Checkpoints, r.Aborted, r.Requests, r.Lines, r.Lost, r.Duplicated, len(r.Violations))
}

// Run does one round.
func Run(ctx context.Context, c Config) (Result, error) {
	r, err := begin(ctx, c)
	if err != nil {
		return Result{}, err
	}
	defer r.client.Close()
	if err := r.disturb(ctx); err != nil {
		return r.result, err
	}
	return r.end(ctx)
}

// disturb does the faults, while clients ask.
func (r *round) disturb(ctx context.Context) error {
	// Half of the rounds have only faults that no task may notice. What is drawn is the seed's alone.
	drawn := r.Plan.drawn(r.Site, r.Plan.Gentle || r.draw.IntN(2) == 0)
	if len(drawn) == 0 {
		drawn = r.Plan.drawn(r.Site, false)
	}
	if len(drawn) == 0 {
		return errors.New("no fault of the plan can be done here")
	}
	if r.Config.Requests {
		q := r.ask(ctx)
		defer q.end(ctx)
	}
	for range r.Config.Faults {
		if ended, err := r.pause(ctx); err != nil {
			return err
		} else if ended {
			break
		}
		if err := r.fault(ctx, drawn); err != nil {
			return err
		}
	}
	if r.rough { // by what was done, not by what was drawn from
		return nil
	}
	r.result.Gentle = 1
	return r.untouched(ctx)
}

// alone requires that no two attempts of a subtask have overlapped, where that is promised (I5, its first half).
func (r *round) alone() error {
	if !r.Pause {
		return nil
	}
	all, err := spans(r.output + witnessSuffix)
	if err == nil && len(all) == 0 {
		err = errors.New("the witness saw no attempt take a record")
	}
	if err != nil {
		return err
	}
	r.result.Witnessed = len(all)
	for _, what := range overlapping(all) {
		r.violated("I5", "seed %d: %s", r.Seed, what)
	}
	return nil
}

// untouched requires that every subtask is still the one that it was (I6).
func (r *round) untouched(ctx context.Context) error {
	j, err := r.client.Job(ctx, r.id)
	if err != nil {
		return err
	}
	for _, what := range interrupted(r.before, j) {
		r.violated("I6", "seed %d: %s", r.Seed, what)
	}
	return nil
}

// interrupted lists the subtasks that are not what they were; one that has finished may have left its process.
func interrupted(before, after client.Job) (wrong []string) {
	then, now := localcluster.Subtasks(before), localcluster.Subtasks(after)
	for i, was := range then {
		if i >= len(now) || now[i].Attempt != was.Attempt || now[i].PID != was.PID && now[i].State != job.Finished {
			wrong = append(wrong, fmt.Sprintf("subtask %d of the job was %+v and is %+v", i, was, now[min(i, len(now)):min(i+1, len(now))]))
		}
	}
	if len(then) == 0 {
		wrong = append(wrong, "the job had no subtasks")
	}
	if after.Restarts > before.Restarts {
		wrong = append(wrong, fmt.Sprintf("the job restarted %d times", after.Restarts-before.Restarts))
	}
	return wrong
}

// violated notes what must not have been.
func (r *round) violated(invariant, format string, args ...any) {
	v := Violation{invariant, fmt.Sprintf(format, args...)}
	r.Say("VIOLATION %v", v)
	r.result.Violations = append(r.result.Violations, v)
}

// round is one round under way.
type round struct {
	Config
	client   *client.Client
	draw     *rand.Rand
	output   string
	want     []string // the lines of the undisturbed run, sorted
	id       client.ID
	artifact string
	before   client.Job    // as it was before the first fault
	began    terms         // before it
	rough    bool          // a fault was done that tasks may notice
	struck   time.Time     // when the newest fault was done
	took     time.Duration // from then until somebody answered; 0: nobody was asked yet
	result   Result
}

// begin does the undisturbed run, submits the job, and returns once all of it runs.
func begin(ctx context.Context, c Config) (*round, error) {
	r := &round{Config: c, id: client.NewID(), client: c.Site.Cluster.Client(), draw: rand.New(rand.NewPCG(uint64(c.Seed), 2))}
	r.output = filepath.Join(c.Dir, fmt.Sprintf("disturbed-%d", c.Seed))
	r.result.Faults = Tally{}
	err := r.submit(ctx)
	if err != nil {
		r.client.Close()
		return nil, err
	}
	return r, nil
}

func (r *round) submit(ctx context.Context) (err error) {
	if r.want, err = r.undisturbed(ctx); err != nil {
		return fmt.Errorf("the undisturbed run: %w", err)
	}
	r.result.Lines = len(r.want)
	if r.artifact, err = r.client.Upload(ctx, r.Binary); err != nil {
		return err
	}
	if _, err := r.client.Submit(ctx, client.Spec{ID: r.id, Name: "chaos", Artifact: r.artifact, Args: r.args(r.output, r.Rate)}); err != nil {
		return err
	}
	if r.before, err = r.Cluster.Running(ctx, r.client, r.id); err != nil {
		return err
	}
	r.began, err = r.epochs(ctx)
	return err
}

// end waits until the job has ended, or ends an unbounded one when everything has come out, and
// compares the output.
func (r *round) end(ctx context.Context) (Result, error) {
	if err := r.await(ctx); err != nil {
		return r.result, err
	}
	got, err := Lines(r.output)
	if err != nil {
		return r.result, err
	}
	r.result.Lost, r.result.Duplicated = Compare(r.want, got)
	if r.result.Lost+r.result.Duplicated > 0 || len(r.want) == 0 {
		r.violated("I5", "seed %d: of %d lines %d are lost and %d are there that should not be", r.Seed, len(r.want), r.result.Lost, r.result.Duplicated)
	}
	if err := r.alone(); err != nil {
		return r.result, err
	}
	if err := r.unbroken(r.violated); err != nil {
		return r.result, err
	}
	epochs, err := r.epochs(ctx)
	r.result.Epochs = len(epochs) - len(r.began)
	return r.result, err
}

func (r *round) await(ctx context.Context) error {
	if r.Unbounded {
		return r.cancelWhenOut(ctx)
	}
	j, err := r.client.Wait(ctx, r.id, 20*time.Millisecond, nil)
	r.note(j)
	if err == nil && j.State != "FINISHED" {
		err = fmt.Errorf("the job is %s: %s", j.State, j.Failure)
	}
	return err
}

// cancelWhenOut waits until as many lines are visible as there are to come, or too many, and ends the
// job.
func (r *round) cancelWhenOut(ctx context.Context) error {
	err := r.Cluster.Until(ctx, func() error {
		j, err := r.client.Job(ctx, r.id)
		if err != nil {
			return err
		}
		r.note(j)
		got, err := Lines(r.output)
		if err == nil && len(got) < len(r.want) && !j.State.Terminal() {
			err = fmt.Errorf("%d of %d lines are visible; the job is %s", len(got), len(r.want), j.State)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err = r.client.Cancel(ctx, r.id); err != nil {
		return err
	}
	_, err = r.client.Wait(ctx, r.id, 20*time.Millisecond, nil)
	return err
}

func (r *round) note(j client.Job) {
	r.result.Restarts, r.result.Aborted = j.Restarts, j.Checkpoints.Aborted
	if len(j.Checkpoints.Completed) > 0 {
		r.result.Checkpoints = int(j.Checkpoints.Completed[0].ID)
	}
}

// pause lets the job go on for a while, and tells whether it has ended.
func (r *round) pause(ctx context.Context) (bool, error) {
	if err := wait(ctx, 100*time.Millisecond+time.Duration(r.draw.IntN(700))*time.Millisecond); err != nil {
		return true, err
	}
	j, err := r.client.Job(ctx, r.id)
	if err == nil {
		r.note(j)
	}
	return err == nil && j.State.Terminal(), err
}

// witnessSuffix comes after the output, for where the witness notes what it sees.
const witnessSuffix = ".witness"

func (c *Config) args(output string, rate float64) []string {
	args := []string{"--seed", strconv.Itoa(c.Seed), "--records", strconv.Itoa(c.Records), "--output", output, "--rate", fmt.Sprint(rate)}
	if c.Unbounded {
		args = append(args, "--unbounded")
	}
	if c.Pause {
		args = append(args, "--witness", output+witnessSuffix)
	}
	return args
}

// undisturbed returns the lines that the job puts out, sorted. Of an unbounded one they are known.
func (c *Config) undisturbed(ctx context.Context) ([]string, error) {
	if c.Unbounded {
		return UnboundedLines(c.Records), nil
	}
	dir := filepath.Join(c.Dir, fmt.Sprintf("undisturbed-%d", c.Seed))
	if err := stream.Run(ctx, "chaos", c.args(dir, 0), Build); err != nil {
		return nil, err
	}
	got, err := Lines(dir)
	if err == nil && len(got) == 0 {
		err = errors.New("it put nothing out")
	}
	return got, err
}
