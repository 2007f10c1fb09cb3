// Command run is "make chaos": rounds of package chaos at one kind of site after the other, each round a job drawn from the
// next seed, until the time is over. It ends with one table, and with status 1 at the first round in which something was not as
// it must be, after the command that does that round again. It ends only processes that it started.
//
// As root it runs in a network of its own, has hosts, and small file systems which faults fill. Otherwise it says what cannot
// be done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-io/perennial/internal/chaos"
	"github.com/perennial-io/perennial/internal/testclock"
	"github.com/perennial-io/perennial/internal/testhosts"
)

type options struct {
	seed    int
	minutes float64
	on      string
	faults  string
	// isolated is the cluster's setting.
	isolated string
	quiet    bool
	plan     chaos.Plan
	kinds    []chaos.Kind
}

func main() {
	if os.Getenv("PERENNIAL_ROLE") != "" {
		chaos.Main()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = o.alone()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: refused:", err)
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Println("chaos: FAILED:", err)
		os.Exit(1)
	}
}

// everywhere is where rounds are done unless -on says otherwise.
const everywhere = "zookeeper/hosts,embedded/hosts,zookeeper/proxies,embedded/proxies"

// longest is how many minutes a run may last: a week.
const longest = 7 * 24 * 60

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.IntVar(&o.seed, "seed", 1, "of the first round; each further round takes the next")
	f.Float64Var(&o.minutes, "minutes", 5, "for how long rounds are begun")
	f.StringVar(&o.on, "on", everywhere, "sites, each for an equal part of the time: zookeeper or embedded, and /hosts, /proxies or nothing")
	f.StringVar(&o.faults, "faults", "", "only these, by their names, separated by commas: "+strings.Join(chaos.Faults(), ", "))
	f.BoolVar(&o.plan.Gentle, "gentle", false, "only faults that no task may notice")
	f.StringVar(&o.isolated, "isolated", "", "taskmanager.isolated of the clusters: run or pause, in which attempts must not overlap")
	f.BoolVar(&o.quiet, "quiet", false, "only a line for each round")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case !(o.minutes > 0 && o.minutes <= longest):
		return o, fmt.Errorf("-minutes %v: expected more than 0, and at most %v", o.minutes, longest)
	case o.seed < 0:
		return o, fmt.Errorf("-seed %d: expected 0 or more", o.seed)
	case f.NArg() > 0:
		return o, fmt.Errorf("%q: there are only flags", f.Args())
	case o.isolated != "" && o.isolated != "run" && o.isolated != "pause":
		return o, fmt.Errorf("-isolated %q: expected run or pause", o.isolated)
	}
	for _, name := range strings.Split(o.faults, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.plan.Faults = append(o.plan.Faults, name)
		}
	}
	for _, text := range strings.Split(o.on, ",") {
		k, err := chaos.ParseKind(strings.TrimSpace(text))
		if err == nil {
			err = o.plan.Possible(k)
		}
		if err != nil {
			return o, err
		}
		o.kinds = append(o.kinds, k)
	}
	return o, nil
}

// alone has the run have a network of its own, if that is possible. Without one there are no hosts.
func (o options) alone() error {
	err := testhosts.Alone()
	if err == nil {
		return nil
	}
	for _, k := range o.kinds {
		if k.Network == "hosts" {
			return fmt.Errorf("%s: %w; -on zookeeper/proxies,embedded/proxies needs none", k, err)
		}
	}
	return nil
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "perennial-chaos-")
	if err != nil {
		return err
	}
	programs := chaos.Programs{Perennial: filepath.Join(dir, "perennial"), Clocks: true, Isolated: o.isolated}
	const pkg = "github.com/perennial-io/perennial/cmd/perennial"
	if err := testclock.Build(ctx, dir, programs.Perennial, pkg); err != nil && ctx.Err() == nil {
		fmt.Printf("no clock jumps: %v\n", err)
		programs.Clocks = false
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", programs.Perennial, pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build perennial: %w\n%s", err, out)
		}
	}
	total := chaos.NewTotal()
	length := time.Duration(o.minutes * float64(time.Minute) / float64(len(o.kinds)))
	for _, k := range o.kinds {
		if o.seed, err = at(ctx, k, filepath.Join(dir, strings.ReplaceAll(k.String(), "/", "-")), programs, o, length, total); err != nil {
			break
		}
	}
	if e := total.Write(os.Stdout); e != nil {
		return errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("%w\nwhat was left for a look: %s", err, dir)
	}
	fmt.Println("chaos: OK")
	return os.RemoveAll(dir)
}

// site is where rounds are done.
type site struct {
	*chaos.Site
	dir   string
	total *chaos.Total
}

// at does rounds at a kind of site, and returns the seed of the next round.
func at(ctx context.Context, k chaos.Kind, dir string, p chaos.Programs, o options, length time.Duration, total *chaos.Total) (next int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	s, err := chaos.Open(ctx, k, dir, p)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", k, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Keep())
		}
		err = errors.Join(err, s.Close())
	}()
	if err := o.plan.Check(s); err != nil {
		return 0, err
	}
	return site{s, dir, total}.rounds(ctx, o, length)
}

func (s site) rounds(ctx context.Context, o options, length time.Duration) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	for began := time.Now(); ; o.seed++ { // one at least
		work, err := os.MkdirTemp(s.dir, "round-")
		if err != nil {
			return 0, err
		}
		r, err := s.round(ctx, self, work, o)
		s.total.Add(s.Kind, r)
		fmt.Printf("seed %d on %s: %v\n", o.seed, s.Kind, r)
		if err == nil && r.Wrong() {
			err = fmt.Errorf("%v", r.Violations)
		}
		if err != nil {
			return 0, fmt.Errorf("%s, seed %d: %w\nonce more: %s", s.Kind, o.seed, err, o.again(s.Kind))
		}
		if err := os.RemoveAll(work); err != nil {
			return 0, err
		}
		if time.Since(began) >= length {
			return o.seed + 1, nil
		}
	}
}

// again is the command, for a shell, that does one round again.
func (o options) again(k chaos.Kind) string {
	line := fmt.Sprintf("make chaos SEED=%d MINUTES=0.01 ON=%s", o.seed, k)
	if o.faults != "" {
		line += " FAULTS=" + quoted(o.faults)
	}
	if o.isolated != "" {
		line += " ISOLATED=" + o.isolated
	}
	if o.plan.Gentle {
		line += " GENTLE=true"
	}
	return line
}

// quoted is a text as a word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func (s site) round(ctx context.Context, self, work string, o options) (chaos.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the round was not over after 5 minutes"))
	defer cancel()
	say := func(format string, args ...any) {
		if !o.quiet {
			fmt.Printf(time.Now().Format("15:04:05.000 ")+format+"\n", args...)
		}
	}
	return chaos.Run(ctx, chaos.Config{
		Site: s.Site, Binary: self, Dir: work, Seed: o.seed, Records: 40_000, Rate: 1_200, Unbounded: o.seed%3 == 1, Faults: 15,
		Plan: o.plan, Requests: true, Say: say,
	})
}
