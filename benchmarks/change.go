package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/perennial-io/perennial/client"
)

const (
	rescales = 10 // each way
	stops    = 7
)

// changes measures what people do to a running job.
func changes(ctx context.Context, r *report, b binaries) error {
	r.table(fmt.Sprintf("Changes of a small job: %s, checkpoint.interval %v; milliseconds", smallJobIs, smallInterval), "what", "n", "p50", "worst", "to reach")
	row := func(name string, took []time.Duration) {
		r.row(name, fmt.Sprint(len(took)), ms(quantile(took, 0.5)), ms(quantile(took, 1)), "–")
	}
	return onSmall(ctx, b, nil, func(ctx context.Context, s site, id client.ID) error {
		up, down, err := s.rescale(ctx, id)
		if err != nil {
			return err
		}
		row("`rescale` 2 → 4, downtime as the outcome tells it", up.downtimes)
		row("the same, from the last record out before it to the first one after", up.gaps)
		row("`rescale` 4 → 2, downtime as the outcome tells it", down.downtimes)
		row("the same, from the last record out before it to the first one after", down.gaps)
		t, err := s.stopAndContinue(ctx)
		row("`savepoint`, the job running on, from the request to the savepoint", t.savepoint)
		row("`stop` with a savepoint, from the request to FINISHED", t.stop)
		row("`perennial run -d --from-savepoint` BINARY → every subtask RUNNING", t.run)
		return err
	})
}

// rescaled is what some changes of parallelism cost.
type rescaled struct{ downtimes, gaps []time.Duration }

// rescale changes the job's parallelism to and fro.
func (s site) rescale(ctx context.Context, id client.ID) (up, down rescaled, err error) {
	for i := 0; i < rescales && err == nil; i++ {
		if err = s.rescaleOnce(ctx, id, 4, &up); err == nil {
			err = s.rescaleOnce(ctx, id, 2, &down)
		}
	}
	return up, down, err
}

func (s site) rescaleOnce(ctx context.Context, id client.ID, parallelism int, to *rescaled) error {
	was, err := s.checkpointed(ctx, id)
	if err != nil {
		return err
	}
	if err := os.Truncate(s.arrivals(), 0); err != nil {
		return err
	}
	// The job goes on for a moment, so that there is a last record.
	if err := sleep(ctx, smallInterval/2); err != nil {
		return err
	}
	asked, err := s.cli.Change(ctx, id, client.Change{Parallelism: parallelism})
	if err != nil {
		return err
	}
	last, first, err := s.around(ctx, attemptOf(was)+1)
	to.downtimes, to.gaps = append(to.downtimes, millis(asked.DowntimeMillis)), append(to.gaps, first.Sub(last))
	return err
}

// continuations are the times of stopAndContinue.
type continuations struct{ savepoint, stop, run []time.Duration }

// stopAndContinue makes a savepoint of a job of its own, stops it with another one, and runs it again from that one, each
// time from the last.
func (s site) stopAndContinue(ctx context.Context) (t continuations, err error) {
	id, err := s.submit(ctx, s.smallJob()...)
	for i := 0; i < stops && err == nil; i++ {
		id, err = s.stopAndContinueOnce(ctx, id, &t)
	}
	if err != nil {
		return t, err
	}
	return t, s.cancel(ctx, id)
}

func (s site) stopAndContinueOnce(ctx context.Context, id client.ID, t *continuations) (client.ID, error) {
	if _, err := s.checkpointed(ctx, id); err != nil {
		return id, err
	}
	saved, err := s.cli.Savepoint(ctx, id, "")
	if err != nil {
		return id, err
	}
	t.savepoint = append(t.savepoint, saved.Ended.Sub(saved.Asked))
	stopped, err := s.cli.Stop(ctx, id, "", false)
	if err != nil {
		return id, err
	}
	end, err := s.cli.Wait(ctx, id, 5*time.Millisecond, nil)
	if err != nil {
		return id, err
	}
	t.stop = append(t.stop, end.Finished.Sub(stopped.Asked))
	begun := time.Now()
	if id, err = s.run(ctx, "--from-savepoint", stopped.Savepoint); err == nil {
		_, err = s.cl.Running(ctx, s.cli, id)
		t.run = append(t.run, time.Since(begun))
	}
	return id, err
}

// run submits the small job as a person would.
func (s site) run(ctx context.Context, flags ...string) (client.ID, error) {
	_, port, err := net.SplitHostPort(s.cl.Rest[0])
	if err != nil {
		return "", err
	}
	args := append([]string{"run", "--conf", "", "-D", "jobmanager.rpc.address=127.0.0.1", "-D", "rest.port=" + port, "-d", "-p", "2"}, flags...)
	args = append(append(args, s.bin.count, "--"), s.smallJob()...)
	out, err := exec.CommandContext(ctx, s.bin.perennial, args...).Output()
	if err != nil {
		return "", fmt.Errorf("perennial run: %w", err)
	}
	return client.ID(strings.TrimSpace(string(out))), nil
}
