package launch_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/hostcluster"
	"github.com/perennial-io/perennial/internal/testhosts"
	"github.com/perennial-io/perennial/stream"
)

// arrivals is a job that counts, a hundred a second. What it puts out arrives twice: at once, in a file that says which attempt wrote
// when, as it would in a system without transactions; and exactly once, in the files of a sink.
func arrivals(env *stream.Env) {
	path, output := env.Arg("arrivals"), env.Arg("output")
	numbers := stream.From(env, "numbers", generator.Unbounded(func(i uint64) uint64 { return i }), stream.Rate(100))
	noted := stream.Apply(stream.Rebalance(numbers), "arrivals", func(ctx *stream.Context) (func(uint64, func(uint64)) error, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		return func(i uint64, emit func(uint64)) error {
			_, err := fmt.Fprintf(f, "%d %d\n", ctx.Attempt(), time.Now().UnixNano())
			emit(i)
			return err
		}, err
	})
	stream.To(noted, "out", file.JSONLines[uint64](output))
}

// isolation is a cluster of a JobManager and two TaskManagers with one slot each, every one on a host of its own, and the job on one
// of them. The hosts' files are shared, so that what a task does is seen while its host is cut off.
type isolation struct {
	*site
	job  string
	home *testhosts.Host // where the job runs
	path string          // of arrivals
	out  string
}

// isolate starts it. Heartbeats, leases and time-outs are as settings say.
func isolate(t *testing.T, settings string) *isolation {
	t.Helper()
	hosts, u := testhosts.Start(t, 3), newUser(t, os.Getuid())
	x := &isolation{site: &site{&hostcluster.Cluster{Hosts: hosts, Person: u.Person}, u}}
	x.On = x.List[0]
	x.path, x.out = filepath.Join(x.Dir, "arrivals"), filepath.Join(x.Dir, "out")
	x.configured(map[string]string{"perennial.yaml": "storage.dir: " + filepath.Join(x.Dir, "storage") + "\nrest.bind-host: 0.0.0.0\njobmanager.bind-host: 0.0.0.0\n" +
		"jobmanager.rpc.address: " + x.List[0].Name + "\ntaskmanager.bind-host: 0.0.0.0\ntaskmanager.slots: 1\ncheckpoint.interval: 300ms\nheartbeat.interval: 50ms\n" + settings})
	for i, h := range x.List {
		role := "taskmanager"
		if i == 0 {
			role = "jobmanager"
		}
		x.daemon(h, role)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := x.types("perennial", "run", "-d", self, "--", "--arrivals", x.path, "--output", x.out)
	x.job = strings.TrimSpace(r.Stdout)
	subtask := x.running(x.job, 0)["numbers/0"]
	for _, row := range x.taskManagers() {
		for _, h := range x.List {
			if row.ID == subtask.TaskManager && row.Host == h.Name {
				x.home = h
			}
		}
	}
	if x.home == nil {
		t.Fatalf("the job is on no host: %+v, %+v", subtask, x.taskManagers())
	}
	return x
}

// daemon runs a process in the foreground of a host, until the host ends.
func (x *isolation) daemon(h *testhosts.Host, role string) {
	x.t.Helper()
	was := x.On
	x.On = h
	cmd := x.command(filepath.Join(home, "bin", "perennial"), role, "-D", "taskmanager.host="+h.Name)
	x.On = was
	cmd.Dir = x.Local // each host's own
	log, err := os.Create(filepath.Join(x.Dir, h.Name+".log"))
	if err != nil {
		x.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() { _ = cmd.Wait() })
	x.t.Cleanup(func() {
		try(x.t, h.Kill())
		waiting.Wait()
		log.Close()
	})
}

func (x *isolation) taskManagers() (rows []client.TaskManager) {
	x.t.Helper()
	r := x.types("perennial", "taskmanagers", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &rows); err != nil {
		x.t.Fatalf("%s: %v", r.Stderr, err)
	}
	return rows
}

// arrived is when each record arrived, by attempt, in the order of their times.
func (x *isolation) arrived() map[int][]time.Time {
	x.t.Helper()
	f, err := os.Open(x.path)
	if err != nil {
		x.t.Fatal(err)
	}
	defer f.Close()
	all := map[int][]time.Time{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		attempt, at, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(attempt)
		nanos, e := strconv.ParseInt(at, 10, 64)
		if err != nil || e != nil {
			break // the last line may be half written
		}
		all[n] = append(all[n], time.Unix(0, nanos))
	}
	for _, times := range all {
		slices.SortFunc(times, time.Time.Compare)
	}
	return all
}

// arrive waits for so many records more of an attempt.
func (x *isolation) arrive(attempt, more int) {
	x.t.Helper()
	before := len(x.arrived()[attempt])
	eventually(x.t, func() error {
		if n := len(x.arrived()[attempt]); n < before+more {
			return fmt.Errorf("%d records of attempt %d arrived, and %d before", n, attempt, before)
		}
		return nil
	})
}

// stopped waits until nothing has arrived for a second, which is a hundred records' time.
func (x *isolation) stopped(attempt int) {
	x.t.Helper()
	eventually(x.t, func() error {
		times := x.arrived()[attempt]
		if since := time.Since(times[len(times)-1]); since < time.Second {
			return fmt.Errorf("a record of attempt %d arrived %v ago", attempt, since)
		}
		return nil
	})
}

// once ends the job, and requires that each number came out once, and none is missing.
func (x *isolation) once() {
	x.t.Helper()
	x.types("perennial", "stop", x.job, "--drain").expect(x.t, 0)
	files, err := filepath.Glob(filepath.Join(x.out, "part-*"))
	if err != nil {
		x.t.Fatal(err)
	}
	seen := map[uint64]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			x.t.Fatal(err)
		}
		for _, line := range strings.Fields(string(text)) {
			n, err := strconv.ParseUint(line, 10, 64)
			if err != nil {
				x.t.Fatal(err)
			}
			seen[n]++
		}
	}
	for n := range uint64(len(seen)) {
		if seen[n] != 1 {
			x.t.Fatalf("%d came out %d times, of %d", n, seen[n], len(seen))
		}
	}
	if len(seen) < 100 {
		x.t.Errorf("only %d numbers came out", len(seen))
	}
}

// forgiving is a cluster that overlooks long silences.
const forgiving = "taskmanager.timeout: 19s\ntaskmanager.lease: 4s\n"

// strict is one that soon declares TaskManagers dead.
const strict = "taskmanager.timeout: 2s\ntaskmanager.lease: 3s\n"

// TestIsolatedTaskManager is row 12 of the faults: the host of a TaskManager is cut off from all others, and joined again. In each
// case every record comes out once.
func TestIsolatedTaskManager(t *testing.T) {
	t.Run("pause, and back before it is declared dead", func(t *testing.T) {
		x := isolate(t, forgiving+"taskmanager.isolated: pause\n")
		x.arrive(1, 100)
		try(t, x.home.CutOff())
		x.stopped(1)
		try(t, x.home.Join())
		x.arrive(1, 100) // it goes on in place
		x.running(x.job, 0)
		x.once()
	})
	t.Run("pause, and declared dead", func(t *testing.T) {
		x := isolate(t, strict+"taskmanager.isolated: pause\n")
		x.arrive(1, 100)
		try(t, x.home.CutOff())
		eventually(t, func() error {
			j, err := hostcluster.Ask[client.Job](t.Context(), x.user.Person, "info", x.job)
			if err == nil && j.LeaseWait == nil {
				err = fmt.Errorf("the job is %s and waits for no lease", j.State)
			}
			return err
		})
		x.arrive(2, 100)
		try(t, x.home.Join())
		eventually(t, func() error { // as a new instance
			if n := len(x.taskManagers()); n != 2 {
				return fmt.Errorf("there are %d TaskManagers", n)
			}
			return nil
		})
		x.running(x.job, 1)
		x.once()
		times := x.arrived()
		if last, first := times[1][len(times[1])-1], times[2][0]; !last.Before(first) {
			t.Errorf("attempt 1 put something out %v after attempt 2 had begun to", last.Sub(first))
		}
		if len(times) != 2 {
			t.Errorf("there were %d attempts, want 2", len(times))
		}
	})
	t.Run("run, and back before it is declared dead", func(t *testing.T) {
		x := isolate(t, forgiving)
		x.arrive(1, 100)
		try(t, x.home.CutOff())
		x.arrive(1, 600) // for longer than a lease would be
		try(t, x.home.Join())
		x.arrive(1, 100)
		x.running(x.job, 0)
		x.once()
	})
	t.Run("run, and declared dead", func(t *testing.T) {
		x := isolate(t, strict)
		x.arrive(1, 100)
		try(t, x.home.CutOff())
		x.arrive(2, 1)
		x.arrive(1, 100) // the two attempts run at the same time
		x.arrive(2, 100)
		try(t, x.home.Join())
		x.stopped(1) // it has heard that it is dead
		x.running(x.job, 1)
		x.once()
	})
}
