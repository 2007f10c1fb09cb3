package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

const (
	largeKeys  = 9_000_000       // of 112 bytes: 1 GB
	largeRate  = largeKeys / 100 // changes a second
	furtherOn  = 8               // checkpoints after the first one
	largeKills = 5
	largeLimit = 20 * time.Minute
)

// large looks at a gigabyte of state.
func large(ctx context.Context, _ options, r *report) error {
	return bounded(ctx, largeLimit, func(ctx context.Context, b binaries) error {
		r.table(fmt.Sprintf("A gigabyte of state: %d keys of 112 bytes, %d of them changed each second at random, parallelism 2, one task process, storage in a directory of the same disk; milliseconds", largeKeys, largeRate),
			"state", "what", "n", "p50", "worst", "bytes written to storage, p50")
		for _, k := range stores() {
			if err := largeState(ctx, r, b, k); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
		return nil
	})
}

func largeState(ctx context.Context, r *report, b binaries, k keeping) error {
	settings := map[string]string{"checkpoint.interval": "1h", "cluster.id": "large"}
	return onSite(ctx, b, 1, settings, func(ctx context.Context, s site) error {
		id, err := s.submit(ctx, append([]string{"--large", "--keys", strconv.Itoa(largeKeys), "--rate", strconv.Itoa(largeRate), "--arrivals", s.arrivals()}, k.args...)...)
		if err != nil {
			return err
		}
		if err := s.filled(ctx, id); err != nil {
			return err
		}
		if err := s.largeCheckpoints(ctx, r, k, id); err != nil {
			return err
		}
		if err := s.largeRestarts(ctx, r, k, id); err != nil {
			return err
		}
		return s.cancel(ctx, id)
	})
}

// filled waits until every key has been made: a checkpoint comes after them.
func (s site) filled(ctx context.Context, id client.ID) error {
	return pollEach(ctx, 100*time.Millisecond, func() (bool, error) {
		j, err := s.job(ctx, id)
		if err != nil {
			return false, err
		}
		for _, v := range j.Vertices {
			if v.Operators[0].Name == "fill" {
				return allAre(v.Subtasks, job.Finished), nil
			}
		}
		return false, errors.New("the job has no source that fills its state")
	})
}

// written is a checkpoint with what it added to storage.
type written struct {
	client.Checkpoint
	bytes int64
}

func (s site) largeCheckpoints(ctx context.Context, r *report, k keeping, id client.ID) error {
	first, err := s.take(ctx, id)
	if err != nil {
		return err
	}
	further, changed, last := []written{}, []float64{}, first
	for range furtherOn {
		begun := last.Completed.Add(-millis(last.Millis))
		if err := sleep(ctx, time.Until(begun.Add(time.Second))); err != nil {
			return err
		}
		if last, err = s.take(ctx, id); err != nil {
			return err
		}
		further = append(further, last)
		changed = append(changed, last.Completed.Add(-millis(last.Millis)).Sub(begun).Seconds()*largeRate/largeKeys*100)
	}
	times, err := readArrivals(s.arrivals())
	if err != nil {
		return err
	}
	largeRows(r, k, "the first checkpoint", []written{first}, times)
	largeRows(r, k, fmt.Sprintf("a further one, %.1f %% changed at the median", quantile(changed, 0.5)), further, times)
	return s.residentRow(ctx, r, k, id)
}

func (s site) residentRow(ctx context.Context, r *report, k keeping, id client.ID) error {
	j, err := s.job(ctx, id)
	if err != nil {
		return err
	}
	for _, pid := range pids(j) {
		rss, err := resident(pid)
		if err != nil {
			return err
		}
		r.row(k.name, "resident memory of the task process after them: "+mib(rss), "1", "–", "–", "–")
	}
	return nil
}

// take requests a checkpoint.
func (s site) take(ctx context.Context, id client.ID) (written, error) {
	asked, err := s.cli.Checkpoint(ctx, id)
	if err != nil {
		return written{}, err
	}
	j, err := s.job(ctx, id)
	if err != nil {
		return written{}, err
	}
	c := newest(j)
	if c.ID != asked.Checkpoint {
		return written{}, fmt.Errorf("checkpoint %d is the newest, and %d was asked for", c.ID, asked.Checkpoint)
	}
	return written{c, bytesBelow(filepath.Join(s.storage, filepath.Dir(c.Location)))}, nil
}

func largeRows(r *report, k keeping, what string, all []written, times []time.Time) {
	var took, paused, during, before []time.Duration
	var bytes []int64
	for _, w := range all {
		d := millis(w.Millis)
		took, paused, bytes = append(took, d), append(paused, millis(w.PausedMillis)), append(bytes, w.bytes)
		during = append(during, longestGap(times, w.Completed.Add(-d), w.Completed))
		before = append(before, longestGap(times, w.Completed.Add(-2*d), w.Completed.Add(-d)))
	}
	row := func(what string, d []time.Duration, bytes string) {
		r.row(k.name, what, fmt.Sprint(len(d)), ms(quantile(d, 0.5)), ms(quantile(d, 1)), bytes)
	}
	row(what, took, fmt.Sprint(quantile(bytes, 0.5)))
	row("the longest pause of a subtask's record path in it", paused, "–")
	row("the longest gap at the sink while it is taken", during, "–")
	row("the same in as long a time before it", before, "–")
}

func (s site) largeRestarts(ctx context.Context, r *report, k keeping, id client.ID) error {
	var running, first []time.Duration
	for range largeKills {
		if _, err := s.take(ctx, id); err != nil {
			return err
		}
		was, err := s.job(ctx, id)
		if err != nil {
			return err
		}
		took, err := s.restart(ctx, id, was, s.killTask)
		if err != nil {
			return err
		}
		running, first = append(running, took.running), append(first, took.first)
	}
	n := fmt.Sprint(largeKills)
	r.row(k.name, "SIGKILL of the task process → every subtask RUNNING again, state read from storage", n, ms(quantile(running, 0.5)), ms(quantile(running, 1)), "–")
	r.row(k.name, "SIGKILL of the task process → first record out", n, ms(quantile(first, 0.5)), ms(quantile(first, 1)), "–")
	return nil
}
