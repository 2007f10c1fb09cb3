// Command benchmarks measures every figure of results.md and appends them to it, with the machine
// and the commit: the data path beside hand-written loops of the same work in the same run, leader
// changes under a running job, what a JobManager costs, what checkpoints, restarts and changes of a
// job take, and, for root, what operators do to a cluster on several hosts. What takes minutes is measured when asked for
// alone: an access to keyed state, state of a gigabyte, and a thousand TaskManagers.
//
//	go run ./benchmarks [-only data|failover|jobmanager|checkpoint|recovery|hosts|state|large|scale] [-out FILE]
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

	"github.com/perennial-io/perennial/client"
)

type options struct {
	only  string
	out   string
	kills int
	runs  int
}

type suite struct {
	name  string
	run   func(ctx context.Context, o options, r *report) error
	alone bool // it takes minutes, and runs when asked for
}

func suites() []suite {
	return []suite{
		{name: "data", run: dataPath}, {name: "failover", run: failover}, {name: "jobmanager", run: jobManager},
		{name: "checkpoint", run: checkpoints}, {name: "recovery", run: recovery}, {name: "hosts", run: onHosts},
		{name: "state", run: access, alone: true}, {name: "large", run: large, alone: true}, {name: "scale", run: scale, alone: true},
	}
}

const names = "data, failover, jobmanager, checkpoint, recovery, hosts, state, large or scale"

func main() {
	if os.Getenv(receiverRole) != "" {
		receive()
		return
	}
	var o options
	flag.StringVar(&o.only, "only", "", names+"; without it all but the last three")
	flag.StringVar(&o.out, "out", "benchmarks/results.md", "file to append to")
	flag.IntVar(&o.kills, "kills", 30, "leaders to kill per coordination")
	flag.IntVar(&o.runs, "runs", 5, "runs of each data-path figure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if what := os.Getenv(hostClient); what != "" {
		if err := beHostClient(ctx, what, client.ID(flag.Arg(0)), flag.Args()[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := measure(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) error {
	r := newReport()
	var failed error
	ran := false
	for _, s := range suites() {
		if o.only != s.name && (o.only != "" || s.alone) {
			continue
		}
		ran = true
		if err := s.run(ctx, o, r); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			r.note("%s was not carried through: %s", s.name, strings.SplitN(err.Error(), "\n", 2)[0])
		}
	}
	if !ran {
		return fmt.Errorf("-only %q: expected %s", o.only, names)
	}
	return errors.Join(failed, r.appendTo(o.out))
}
