package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/client"
)

const (
	costRuns = 3               // of each interval
	warmUp   = 3 * time.Second // at least, until every key is there
	measured = 30              // checkpoints of the small job
	pauses   = 101             // checkpoints whose pauses are looked at
	// smallInterval is that of the small job's checkpoints, and pauseInterval that of pauses: short, so that
	// there are many.
	smallInterval = 200 * time.Millisecond
	pauseInterval = 100 * time.Millisecond
	// suiteLimit bounds a suite, whatever hangs.
	suiteLimit = 5 * time.Minute
)

// smallJob has 1,000 keys, and says when counts come out.
func (s site) smallJob() []string {
	return []string{"--keys", "1000", "--rate", "10000", "--arrivals", s.arrivals()}
}

const smallJobIs = "1,000 keys, 10,000 records/s, parallelism 2, no high availability, two TaskManagers of 2 slots"

func checkpoints(ctx context.Context, _ options, r *report) error {
	return bounded(ctx, suiteLimit, func(ctx context.Context, b binaries) error {
		return errors.Join(checkpointCost(ctx, r, b), pausesOf(ctx, r, b), smallCheckpoints(ctx, r, b))
	})
}

// bounded calls do with the binaries, which it removes.
func bounded(ctx context.Context, limit time.Duration, do func(context.Context, binaries) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%v were not enough", limit))
	defer cancel()
	b, err := buildBinaries()
	if err != nil {
		return err
	}
	defer b.remove()
	return do(ctx, b)
}

// keeping is where the count keeps its state.
type keeping struct {
	name   string
	args   []string
	window time.Duration // in which the cost is measured
	goal   string        // of the cost
}

func stores() []keeping {
	return []keeping{
		{"memory, full", nil, 5 * time.Second, "≥ 0.90"},
		// Files are merged in the background, some time after they were written.
		{"disk, incremental", []string{"--disk"}, 6 * time.Second, "≥ 0.95"},
	}
}

// Cost: throughput with checkpoints beside throughput without.

// cost is what one window saw.
type cost struct {
	rate   float64 // million records per CPU-second of the task processes
	taken  int     // checkpoints
	newest client.Checkpoint
}

// checkpointCost runs the job in turn on two clusters, as the interval is a cluster's.
func checkpointCost(ctx context.Context, r *report, b binaries) error {
	r.table(fmt.Sprintf("Cost of checkpoints: keyed count of 1 M keys, parallelism 2, one task process; million records per CPU-second of task processes once every key is there, medians of %d runs, in turn", costRuns),
		"state", "over", "checkpoint.interval 1 s", "1 h", "1 s / 1 h, median (lowest – highest)", "checkpoints in the windows", "bytes of state", "milliseconds of one", "to reach")
	every := func(interval string) map[string]string {
		return map[string]string{"checkpoint.interval": interval, "cluster.id": "every-" + interval}
	}
	return onSite(ctx, b, 1, every("1s"), func(ctx context.Context, with site) error {
		return onSite(ctx, b, 1, every("1h"), func(ctx context.Context, without site) error {
			for _, k := range stores() {
				if err := compareCost(ctx, r, with, without, k); err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
			}
			return nil
		})
	})
}

func compareCost(ctx context.Context, r *report, with, without site, k keeping) error {
	var rates, bases, ratios, took []float64
	var last cost
	taken := 0
	for range costRuns {
		base, err := without.cost(ctx, k)
		if err != nil {
			return err
		}
		if base.taken > 0 {
			return fmt.Errorf("%d checkpoints where there should be none", base.taken)
		}
		if last, err = with.cost(ctx, k); err != nil {
			return err
		}
		rates, bases, ratios = append(rates, last.rate), append(bases, base.rate), append(ratios, last.rate/base.rate)
		took = append(took, last.newest.Millis)
		taken += last.taken
	}
	r.row(k.name, k.window.String(), fmt.Sprintf("%.3g", quantile(rates, 0.5)), fmt.Sprintf("%.3g", quantile(bases, 0.5)), fmt.Sprintf("%.2f (%.2f – %.2f)", quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1)),
		fmt.Sprint(taken), fmt.Sprint(last.newest.Size), fmt.Sprintf("%.1f", quantile(took, 0.5)), k.goal)
	return nil
}

// cost runs the job for a while, and measures a window of it.
func (s site) cost(ctx context.Context, k keeping) (cost, error) {
	id, err := s.submit(ctx, k.args...)
	if err != nil {
		return cost{}, err
	}
	before, err := s.warm(ctx, id)
	if err != nil {
		return cost{}, err
	}
	if err := sleep(ctx, k.window-500*time.Millisecond); err != nil { // the next change comes within a second
		return cost{}, err
	}
	after, err := s.read(ctx, id)
	if err != nil {
		return cost{}, err
	}
	if after.job.Attempt != 1 {
		return cost{}, fmt.Errorf("the job was restarted: attempt %d", after.job.Attempt)
	}
	c := cost{float64(after.records-before.records) / (after.cpu - before.cpu).Seconds() / 1e6, int(newest(after.job).ID - newest(before.job).ID), newest(after.job)}
	return c, s.cancel(ctx, id)
}

// warm lets the job run until every key is there.
func (s site) warm(ctx context.Context, id client.ID) (now reading, err error) {
	if err := sleep(ctx, warmUp); err != nil {
		return now, err
	}
	for err == nil && now.records < keys {
		now, err = s.read(ctx, id)
	}
	return now, err
}

// reading is records and CPU time at one moment.
type reading struct {
	job     client.Job
	records uint64
	cpu     time.Duration
}

// read waits until the counters have changed, which arrive once a second, and reads the CPU time
// at that moment: otherwise the two would be up to a second apart.
func (s site) read(ctx context.Context, id client.ID) (reading, error) {
	var first *uint64
	var now reading
	err := poll(ctx, func() (bool, error) {
		j, err := s.job(ctx, id)
		if err != nil {
			return false, err
		}
		if len(j.Vertices) == 0 {
			return false, errors.New("the job has no vertices")
		}
		now.job, now.records = j, j.Vertices[len(j.Vertices)-1].RecordsIn
		if first == nil {
			first = new(uint64)
			*first = now.records
		}
		return now.records != *first, nil
	})
	if err != nil {
		return now, err
	}
	for _, pid := range pids(now.job) {
		st, err := statOf(pid)
		if err != nil {
			return now, err
		}
		now.cpu += st.cpu
	}
	return now, nil
}

// Pauses: how long the record path stands still.

func pausesOf(ctx context.Context, r *report, b binaries) error {
	r.table(fmt.Sprintf("The longest pause of a subtask's record path in a checkpoint, of the same count, checkpoint.interval %v; microseconds", pauseInterval),
		"state", "n", "p50", "p99", "worst", "milliseconds of the whole checkpoint, p50")
	settings := map[string]string{"checkpoint.interval": pauseInterval.String(), "checkpoint.retained": "5", "cluster.id": "pauses"}
	return onSite(ctx, b, 1, settings, func(ctx context.Context, s site) error {
		for _, k := range stores() {
			id, err := s.submit(ctx, k.args...)
			if err != nil {
				return err
			}
			if _, err := s.warm(ctx, id); err != nil {
				return err
			}
			all, err := s.collect(ctx, id, pauses)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			paused, took := pausesIn(all), durationsOf(all)
			r.row(k.name, fmt.Sprint(len(all)), us(quantile(paused, 0.5)), us(quantile(paused, 0.99)), us(quantile(paused, 1)), ms(quantile(took, 0.5)))
			if err := s.cancel(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func pausesIn(all []client.Checkpoint) []time.Duration {
	d := make([]time.Duration, len(all))
	for i, c := range all {
		d[i] = millis(c.PausedMillis)
	}
	return d
}

func durationsOf(all []client.Checkpoint) []time.Duration {
	d := make([]time.Duration, len(all))
	for i, c := range all {
		d[i] = millis(c.Millis)
	}
	return d
}

// Small state: how long a checkpoint takes, from its reservation to its completion.

func smallCheckpoints(ctx context.Context, r *report, b binaries) error {
	r.table(fmt.Sprintf("A checkpoint of a small job, from its reservation to its completion: %s, checkpoint.interval %v; milliseconds", smallJobIs, smallInterval),
		"storage", "n", "p50", "worst", "to reach")
	in := func(name, goal string, settings map[string]string) error {
		settings["checkpoint.interval"], settings["cluster.id"] = smallInterval.String(), "small"
		return onSite(ctx, b, 2, settings, func(ctx context.Context, s site) error {
			id, err := s.submit(ctx, s.smallJob()...)
			if err != nil {
				return err
			}
			all, err := s.collect(ctx, id, measured)
			if err != nil {
				return err
			}
			took := durationsOf(all)
			r.row(name, fmt.Sprint(len(took)), ms(quantile(took, 0.5)), ms(quantile(took, 1)), goal)
			return s.cancel(ctx, id)
		})
	}
	if err := in("a directory", "p50 ≤ 20", map[string]string{}); err != nil {
		return err
	}
	return withS3(ctx, b.dir, func(settings map[string]string) error { return in("S3: versitygw on this machine", "–", settings) })
}
