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
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/stream"
)

// Config of a round: one job on one cluster.
type Config struct {
	Cluster   *localcluster.Cluster // with room for the job's slots twice, and short checkpoint intervals
	Binary    string                // of the job, whose main calls Main
	Dir       string                // for outputs; the caller removes it
	Storage   Storage               // that faults make fail
	Seed      int
	Records   int
	Rate      float64 // records per second: with Records how long the job lasts undisturbed
	Unbounded bool
	Faults    int // to be done; the job may end before
	Say       func(format string, args ...any)
}

// Result is what a round came to.
type Result struct {
	Faults                            map[string]int // done, by name
	Lines, Lost, Duplicated, Restarts int
	Checkpoints                       int // the newest id
	Aborted                           int // checkpoints that were given up
}

// Wrong reports whether the output was not that of the undisturbed run.
func (r Result) Wrong() bool { return r.Lost+r.Duplicated > 0 || r.Lines == 0 }

// Run does one round.
func Run(ctx context.Context, c Config) (Result, error) {
	r, err := begin(ctx, c)
	if err != nil {
		return Result{}, err
	}
	defer r.client.Close()
	for range r.Faults {
		if ended, err := r.pause(ctx); ended || err != nil {
			break
		}
		if err := r.fault(ctx); err != nil {
			return r.result, err
		}
	}
	return r.end(ctx)
}

// round is one round under way.
type round struct {
	Config
	client *client.Client
	draw   *rand.Rand
	output string
	want   []string // the lines of the undisturbed run, sorted
	id     client.ID
	result Result
}

// begin does the undisturbed run, submits the job, and returns once all of it runs.
func begin(ctx context.Context, c Config) (*round, error) {
	r := &round{Config: c, id: client.NewID(), client: c.Cluster.Client(), draw: rand.New(rand.NewPCG(uint64(c.Seed), 2))}
	r.output = filepath.Join(c.Dir, fmt.Sprintf("disturbed-%d", c.Seed))
	r.result.Faults = map[string]int{}
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
	artifact, err := r.client.Upload(ctx, r.Binary)
	if err != nil {
		return err
	}
	if _, err := r.client.Submit(ctx, client.Spec{ID: r.id, Name: "chaos", Artifact: artifact, Args: r.args(r.output, r.Rate)}); err != nil {
		return err
	}
	_, err = r.Cluster.Running(ctx, r.client, r.id)
	return err
}

// end waits until the job has ended, or ends an unbounded one when everything has come out, and
// compares the output.
func (r *round) end(ctx context.Context) (Result, error) {
	if err := r.await(ctx); err != nil {
		return r.result, err
	}
	got, err := Lines(r.output)
	r.result.Lost, r.result.Duplicated = Compare(r.want, got)
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

func (c *Config) args(output string, rate float64) []string {
	args := []string{"--seed", strconv.Itoa(c.Seed), "--records", strconv.Itoa(c.Records), "--output", output, "--rate", fmt.Sprint(rate)}
	if c.Unbounded {
		args = append(args, "--unbounded")
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
