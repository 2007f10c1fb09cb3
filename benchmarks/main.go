// Command benchmarks measures every figure of results.md and appends them to it, with the machine
// and the commit: the data path beside hand-written loops of the same work in the same run, leader
// changes under a running job, what a JobManager costs, and what checkpoints and restarts take.
//
//	go run ./benchmarks [-only data|failover|jobmanager|checkpoint] [-out FILE]
//
// It ends only processes that it started, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

type options struct {
	only  string
	out   string
	kills int
	runs  int
}

func main() {
	if os.Getenv(receiverRole) != "" {
		receive()
		return
	}
	var o options
	flag.StringVar(&o.only, "only", "", "data, failover, jobmanager or checkpoint; all without it")
	flag.StringVar(&o.out, "out", "benchmarks/results.md", "file to append to")
	flag.IntVar(&o.kills, "kills", 30, "leaders to kill per coordination")
	flag.IntVar(&o.runs, "runs", 5, "runs of each data-path figure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) error {
	suites := []struct {
		name string
		run  func(ctx context.Context, o options, r *report) error
	}{
		{"data", dataPath}, {"failover", failover}, {"jobmanager", jobManager}, {"checkpoint", checkpoints},
	}
	r := newReport()
	var failed error
	ran := false
	for _, s := range suites {
		if o.only != "" && o.only != s.name {
			continue
		}
		ran = true
		if err := s.run(ctx, o, r); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			r.note("%s was not carried through: %s", s.name, strings.SplitN(err.Error(), "\n", 2)[0])
		}
	}
	if !ran {
		return fmt.Errorf("-only %q: expected data, failover, jobmanager or checkpoint", o.only)
	}
	return errors.Join(failed, r.appendTo(o.out))
}
