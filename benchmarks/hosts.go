package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/hostcluster"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/testhosts"
)

const (
	hostStarts = 5 // of a cluster, per coordination
	// quiet is for how long nothing is done to a job before something is. A restart of all JobManagers that takes longer is
	// compared with that.
	quiet = 6 * time.Second
	// onHostsLimit ends a suite that hangs.
	onHostsLimit = 10 * time.Minute
	// afterwards is what a change may do to a job after it is over.
	afterwards = 500 * time.Millisecond
)

// onHosts is what an operator does to a cluster on hosts of its own, by the commands of an unpacked distribution.
func onHosts(ctx context.Context, _ options, r *report) error {
	ctx, cancel := context.WithTimeoutCause(ctx, onHostsLimit, fmt.Errorf("%v were not enough", onHostsLimit))
	defer cancel()
	dir, err := os.MkdirTemp("", "perennial-hosts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	hosts, err := testhosts.New(ctx, dir, hostcluster.Masters+hostcluster.Workers)
	if errors.Is(err, testhosts.ErrMissing) {
		r.note("\nhosts was not carried through: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	b := &hostBench{hosts: hosts, dir: dir}
	if err := b.unpack(ctx); err != nil {
		return errors.Join(err, hosts.Close())
	}
	return errors.Join(b.measure(ctx, r), hosts.Close())
}

// hostBench measures on some hosts.
type hostBench struct {
	hosts      *testhosts.Hosts
	dir        string // which all hosts have
	home, next string // two releases, unpacked
	gapJob     string
	clusters   int // there were so far

	starts   []startRow
	rolls    []rollRow
	upgrades []upgradeRow
}

// unpack makes the distribution, and the release after it, with the next protocol.
func (b *hostBench) unpack(ctx context.Context) error {
	const module = "github.com/perennial-io/perennial/"
	b.gapJob, b.home, b.next = filepath.Join(b.dir, "gapjob"), filepath.Join(b.dir, "release"), filepath.Join(b.dir, "next")
	flags := fmt.Sprintf("-s -w -X %sinternal/build.Version=%s -X %sinternal/rpc.protocol=%d", module, nextVersion, module, rpc.Protocol+1)
	script := `set -e; dir=$1; shift
go run ./internal/dist -out "$dir" "$1"
tar -xzf "$dir"/perennial-*.tar.gz -C "$dir" && rm "$dir"/perennial-*.tar.gz && mv "$dir"/perennial-* "$dir/release" && cp -r "$dir/release" "$dir/next"
go build -trimpath -ldflags "$2" -o "$dir/next/bin/perennial" ./cmd/perennial
go build -trimpath -ldflags "-s -w" -o "$dir/gapjob" ./benchmarks/gapjob`
	out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", b.dir, runtime.GOOS+"/"+runtime.GOARCH, flags).CombinedOutput()
	if err != nil {
		return fmt.Errorf("two releases: %w\n%s", err, out)
	}
	return nil
}

// nextVersion is that of the release after this one.
const nextVersion = "0.2.0"

func (b *hostBench) measure(ctx context.Context, r *report) error {
	err := b.withZooKeeper(ctx, func(quorum string) error { return b.coordinated(ctx, "managed ZooKeeper", quorum) })
	if err == nil {
		err = b.coordinated(ctx, "embedded quorum", "")
	}
	b.report(r)
	return err
}

// withZooKeeper runs do beside an ensemble on the hosts of the JobManagers, which start-zookeeper-quorum.sh starts.
func (b *hostBench) withZooKeeper(ctx context.Context, do func(quorum string) error) error {
	zoo, quorum := hostcluster.Ensemble("alpha", "bravo", "charlie")
	p, err := b.person("zookeeper", "PERENNIAL_SSH_OPTS="+b.hosts.SSHOptions())
	if err != nil {
		return err
	}
	if err := p.Configure(map[string]string{"zoo.cfg": zoo}); err != nil {
		return err
	}
	if _, err := p.Does(ctx, "start-zookeeper-quorum.sh"); err != nil {
		return err
	}
	if err := do(quorum); err != nil {
		return err
	}
	_, err = p.Does(ctx, "stop-zookeeper-quorum.sh")
	return err
}

// person is one with a directory of their own, here and on each host.
func (b *hostBench) person(name string, env ...string) (*hostcluster.Person, error) {
	dir := filepath.Join(b.dir, name)
	p := &hostcluster.Person{Home: b.home, Dir: dir, UID: os.Getuid(), On: b.hosts.List[hostcluster.Masters],
		Env: append(env, "PERENNIAL_DATA_DIR="+filepath.Join(b.hosts.Local, name))}
	return p, os.Mkdir(dir, 0o755)
}

// coordinated measures with one kind of coordination: clusters that are started one after the other, and the last of them
// under way.
func (b *hostBench) coordinated(ctx context.Context, name, quorum string) error {
	row := startRow{name: name}
	for n := range hostStarts {
		s, err := b.start(ctx, quorum, &row)
		if err == nil && n == hostStarts-1 {
			b.starts = append(b.starts, row)
			err = s.life(ctx, b, name)
		}
		if err == nil {
			_, err = s.Person.Does(ctx, "stop-cluster.sh", "--cancel-jobs")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// hostSite is a cluster on which gapjob runs.
type hostSite struct {
	*hostcluster.Cluster
	job      client.ID
	arrivals string
}

// startRow is how long clusters took to start.
type startRow struct {
	name                        string
	returned, answered, running []time.Duration
}

// start measures one start of a cluster that never was before, and of a job on it, as somebody would who has typed the one
// command and then the other.
func (b *hostBench) start(ctx context.Context, quorum string, row *startRow) (*hostSite, error) {
	b.clusters++
	name := fmt.Sprintf("cluster-%d", b.clusters)
	p, err := b.person(name)
	if err != nil {
		return nil, err
	}
	c, err := hostcluster.New(b.hosts, p, quorum, "taskmanager.slots: 2\ncheckpoint.interval: 1s\ncluster.id: "+name+"\n", nil)
	if err != nil {
		return nil, err
	}
	s := &hostSite{Cluster: c, arrivals: filepath.Join(p.Dir, "arrivals")}
	answer, err := ask[time.Time](ctx, c, waitAnswer, "")
	if err != nil {
		return nil, err
	}
	defer answer.end()
	begun := time.Now()
	if _, err := p.Does(ctx, "start-cluster.sh"); err != nil {
		return nil, err
	}
	returned := time.Since(begun)
	if s.job, err = s.run(ctx, "-p", "4", b.gapJob, "--", "--arrivals", s.arrivals); err != nil {
		return nil, err
	}
	asked, err := ask[time.Time](ctx, c, waitRunning, s.job)
	if err != nil {
		return nil, err
	}
	defer asked.end()
	running, err := asked.wait()
	answered, err2 := answer.wait()
	row.returned = append(row.returned, returned)
	row.answered = append(row.answered, answered.Sub(begun))
	row.running = append(row.running, running.Sub(begun))
	return s, errors.Join(err, err2)
}

func (s *hostSite) run(ctx context.Context, args ...string) (client.ID, error) {
	out, err := s.Person.Does(ctx, "perennial", append([]string{"run", "-d"}, args...)...)
	return client.ID(strings.TrimSpace(out)), err
}

// life is what is done to a cluster under way.
func (s *hostSite) life(ctx context.Context, b *hostBench, name string) error {
	for _, leaderFirst := range []bool{false, true} {
		row, err := s.roll(ctx, leaderFirst)
		if err != nil {
			return fmt.Errorf("restart of all JobManagers: %w", err)
		}
		row.name = name + map[bool]string{false: ", the leader last", true: ", the leader first"}[leaderFirst]
		b.rolls = append(b.rolls, row)
	}
	row, err := s.upgrade(ctx, b)
	if err != nil {
		return fmt.Errorf("upgrade of the TaskManagers: %w", err)
	}
	row.name = name
	b.upgrades = append(b.upgrades, row)
	return nil
}

// rollRow is a rolling restart of all JobManagers.
type rollRow struct {
	name          string
	took          time.Duration
	after, before time.Duration // longest gaps at the sink
	called        called
	restarts      int // and tasks that are not what they were
}

// roll restarts all JobManagers, one by one, under calls of clients.
func (s *hostSite) roll(ctx context.Context, leaderFirst bool) (row rollRow, err error) {
	calls, err := ask[called](ctx, s.Cluster, keepCalling, s.job)
	if err != nil {
		return row, err
	}
	defer calls.end()
	was, before, err := s.Subtasks(ctx, string(s.job))
	if err == nil {
		err = sleep(ctx, quiet)
	}
	if err != nil {
		return row, err
	}
	leader, _, err := s.Standing(ctx)
	if err != nil {
		return row, err
	}
	begun := time.Now()
	for _, h := range inOrder(s.List[:hostcluster.Masters], leader, leaderFirst) {
		if err := s.restart(ctx, h); err != nil {
			return row, err
		}
	}
	row.took = time.Since(begun)
	if err := sleep(ctx, afterwards); err != nil {
		return row, err
	}
	calls.enough()
	if row.called, err = calls.wait(); err != nil {
		return row, err
	}
	now, after, err := s.Subtasks(ctx, string(s.job))
	if err != nil {
		return row, err
	}
	row.restarts = now.Restarts - was.Restarts
	for name, one := range after {
		if before[name].PID != one.PID || before[name].Attempt != one.Attempt {
			row.restarts++
		}
	}
	times, err := readArrivals(s.arrivals)
	window := row.took + afterwards
	row.after, row.before = longestGap(times, begun, begun.Add(window)), longestGap(times, begun.Add(-min(window, quiet)), begun)
	return row, err
}

// inOrder has one host at the beginning or the end.
func inOrder(hosts []*testhosts.Host, one *testhosts.Host, first bool) []*testhosts.Host {
	others := slices.DeleteFunc(slices.Clone(hosts), func(h *testhosts.Host) bool { return h == one })
	if first {
		return append([]*testhosts.Host{one}, others...)
	}
	return append(others, one)
}

// restart stops a host's JobManager and starts it, and waits until it stands by.
func (s *hostSite) restart(ctx context.Context, h *testhosts.Host) error {
	p := *s.Person
	p.On = h
	if _, err := p.Does(ctx, "jobmanager.sh", "stop"); err != nil {
		return err
	}
	if _, err := p.Does(ctx, "jobmanager.sh", "start", h.Name); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		_, standbys, err := s.Standing(ctx)
		return standbys == hostcluster.Masters-1, err
	})
}

// upgradeRow is a rolling upgrade of all TaskManagers, and back.
type upgradeRow struct {
	name            string
	gaps            []time.Duration // at the sink, each about one TaskManager
	before          time.Duration
	moves, restarts int    // of the jobs
	output          string // of the job whose output is compared
}

// upgrade replaces each TaskManager by one of the next release, and then by one of this release again. Beside gapjob there is
// one that counts, and ends.
func (s *hostSite) upgrade(ctx context.Context, b *hostBench) (row upgradeRow, err error) {
	count, err := s.count(ctx)
	if err != nil {
		return row, err
	}
	if err := sleep(ctx, quiet); err != nil {
		return row, err
	}
	was, _, err := s.Subtasks(ctx, string(s.job))
	if err != nil {
		return row, err
	}
	begun := time.Now()
	var windows []time.Time
	for _, homes := range [][2]string{{b.home, b.next}, {b.next, b.home}} {
		for _, h := range s.List[hostcluster.Masters : hostcluster.Masters+hostcluster.Workers] {
			windows = append(windows, time.Now())
			if err := s.replace(ctx, h, homes[0], homes[1]); err != nil {
				return row, err
			}
		}
	}
	windows = append(windows, time.Now())
	times, err := readArrivals(s.arrivals)
	if err != nil {
		return row, err
	}
	for i, from := range windows[:len(windows)-1] {
		row.gaps = append(row.gaps, longestGap(times, from, windows[i+1]))
	}
	row.before = longestGap(times, begun.Add(-quiet), begun)
	now, _, err := s.Subtasks(ctx, string(s.job))
	if err != nil {
		return row, err
	}
	end, err := count.end(ctx, s)
	if err != nil {
		return row, err
	}
	row.restarts = now.Restarts - was.Restarts + end.Restarts
	row.moves = int(now.Attempt-was.Attempt) + int(end.Attempt) - 1 - row.restarts
	row.output, err = count.compare()
	return row, err
}

// replace drains and stops a host's TaskManager, and starts one of another release there.
func (s *hostSite) replace(ctx context.Context, h *testhosts.Host, from, to string) error {
	p := *s.Person
	p.On, p.Home = h, from
	if _, err := p.Does(ctx, "taskmanager.sh", "stop", "--drain"); err != nil {
		return err
	}
	p.Home = to
	if _, err := p.Does(ctx, "taskmanager.sh", "start", h.Name); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		all, err := hostcluster.Ask[[]client.TaskManager](ctx, s.Person, "taskmanagers")
		return len(all) == hostcluster.Workers && !slices.ContainsFunc(all, func(tm client.TaskManager) bool { return !tm.Connected || tm.Draining }), err
	})
}

// counting is a job that counts words which are known, and ends.
type counting struct {
	id     client.ID
	output string
	lines  int
}

// count starts one that is at work for longer than an upgrade takes.
func (s *hostSite) count(ctx context.Context) (*counting, error) {
	c := &counting{output: filepath.Join(s.Person.Dir, "counts"), lines: 30_000}
	input := filepath.Join(s.Person.Dir, "input")
	if err := os.WriteFile(input, []byte(strings.Repeat("one two two\n", c.lines)), 0o644); err != nil {
		return nil, err
	}
	var err error
	c.id, err = s.run(ctx, "-p", "2", filepath.Join(s.Person.Home, "examples/bin/wordcount"), "--", "--input", input, "--output", c.output, "--rate", "1000")
	return c, err
}

// end waits for the job's.
func (c *counting) end(ctx context.Context, s *hostSite) (j client.Job, err error) {
	err = pollEach(ctx, 100*time.Millisecond, func() (bool, error) {
		j, err = hostcluster.Ask[client.Job](ctx, s.Person, "info", string(c.id))
		return j.State.Terminal(), err
	})
	if err == nil && j.State != "FINISHED" {
		err = fmt.Errorf("the job whose output is compared is %s: %s", j.State, j.Failure)
	}
	return j, err
}

// compare says whether the output is what it must be.
func (c *counting) compare() (string, error) {
	parts, err := filepath.Glob(filepath.Join(c.output, "*.csv"))
	if err != nil {
		return "", err
	}
	var lines []string
	for _, part := range parts {
		text, err := os.ReadFile(part)
		if err != nil {
			return "", err
		}
		lines = append(lines, strings.Fields(string(text))...)
	}
	slices.Sort(lines)
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "Word,Count" })
	if want := []string{fmt.Sprintf("one,%d", c.lines), fmt.Sprintf("two,%d", 2*c.lines)}; !slices.Equal(lines, want) {
		return fmt.Sprintf("WRONG: %q, want %q", lines, want), nil
	}
	return "exact", nil
}

// report writes what there is.
func (b *hostBench) report(r *report) {
	r.table(fmt.Sprintf("From start-cluster.sh to a job RUNNING, on hosts of network namespaces: 3 masters, 4 workers, n = %d; milliseconds, p50 / worst", hostStarts),
		"coordination", "start-cluster.sh has returned", "a leader has answered", "perennial run -d after it: each subtask RUNNING", "to reach")
	for _, s := range b.starts {
		r.row(s.name, two(s.returned), two(s.answered), two(s.running), "–")
	}
	r.table("jobmanager.sh stop and start of all three JobManagers, one by one, under a running job (1,000 records/s); milliseconds",
		"coordination", "took", "longest gap at the sink", "the same before, in as long a time", "client calls, the longest", "refused", "restarts, and tasks touched", "to reach")
	for _, c := range b.rolls {
		r.row(c.name, ms(c.took), ms(c.after), ms(c.before), fmt.Sprintf("%d, %s", c.called.Calls, ms(c.called.Longest)), fmt.Sprint(c.called.Refused), fmt.Sprint(c.restarts), "0 refused, 0 restarts")
		if c.called.First != "" {
			r.note("\nrefused: %s\n", c.called.First)
		}
	}
	r.table("taskmanager.sh stop --drain, and start of the next release, of each TaskManager, and back; a job of 1,000 records/s and one that counts; milliseconds, p50 / worst",
		"coordination", "TaskManagers", "longest gap at the sink, per TaskManager", "the longest before", "moves of a job", "restarts", "output", "to reach")
	for _, u := range b.upgrades {
		r.row(u.name, fmt.Sprint(len(u.gaps)), two(u.gaps), ms(u.before), fmt.Sprint(u.moves), fmt.Sprint(u.restarts), u.output, "0 restarts, exact")
	}
}
