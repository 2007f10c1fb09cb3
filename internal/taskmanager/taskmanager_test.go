package taskmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// A job runs while every JobManager dies, ends without one, and its final states are held for
// each next leader until one confirms them (R12).
func TestHeadlessTasksAndHeldStates(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	first := newJobManager(t, "jm1", 1)
	m.announce(first)
	l, report := first.lead()
	if len(report.Attempts) != 0 {
		t.Fatalf("a fresh TaskManager reports %+v", report)
	}
	pid := l.running(id, 1, "run").PID
	data := dialData(t, l.register.Data, id, 1)
	first.die()

	second := newJobManager(t, "jm2", 2)
	fmt.Fprintln(data, "finish") // headless: nobody leads
	if _, err := data.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	m.announce(second)
	_, report = second.lead()
	checkHeld(t, report, id, pid)
	second.die() // before it has confirmed

	third := newJobManager(t, "jm3", 3)
	m.announce(third)
	l, report = third.lead()
	checkHeld(t, report, id, pid)
	if l.register.Instance == "" || l.register.Slots != 2 || l.register.Storage != incarnation {
		t.Errorf("registration %+v", l.register)
	}
	l.send(rpc.Confirm{Job: id, Attempt: 1}) // the process lingers: it is ended
	eventually(t, "the task process of a confirmed attempt ends", func() bool { return !alive(t, pid) })
	eventually(t, "a confirmed attempt is forgotten", func() bool {
		l.send(rpc.Lead{})
		return len(await[rpc.Report](l, nil).Attempts) == 0
	})
	l.send(l.deployment(id, 1, "run"))
	if s := await[rpc.Stopped](l, nil); s.Attempt != 1 {
		t.Errorf("a confirmed attempt is deployed again: %+v", s)
	}
}

func checkHeld(t *testing.T, r rpc.Report, id job.ID, pid int) {
	t.Helper()
	if len(r.Attempts) != 1 || r.Attempts[0].Job != id || r.Attempts[0].PID != pid || len(r.Attempts[0].Subtasks) != 2 {
		t.Fatalf("report %+v, want attempt 1 of %s in process %d", r, id, pid)
	}
	for _, s := range r.Attempts[0].Subtasks {
		if s.State != job.Finished || len(s.Outputs) != 1 || s.Outputs[0].Final != "/tmp/a" {
			t.Errorf("held state %+v", s)
		}
	}
}

// The leader changes while tasks run, and the old one wakes: nothing it says is obeyed or
// answered (R2), and nothing goes to it.
func TestZombieLeaderIsRefused(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	old, next := newJobManager(t, "old", 4), newJobManager(t, "new", 5)
	m.announce(old)
	zombie, _ := old.lead()
	pid := zombie.running(id, 1, "run").PID
	m.announce(old, next)
	l, report := next.lead()
	if len(report.Attempts) != 1 || report.Attempts[0].PID != pid {
		t.Fatalf("report to the new leader: %+v", report)
	}

	zombie.send(rpc.Heartbeat{Seq: 1})
	zombie.send(rpc.Lead{})
	zombie.send(rpc.Stop{Instance: zombie.register.Instance, Job: id, Attempt: 1})
	zombie.send(zombie.deployment(id, 2, "run"))
	zombie.send(rpc.Refused{Reason: "zombie says so", Dead: true})
	// Messages of a connection are taken in order: when this one is answered, those before
	// it have been refused.
	zombie.sendAs(rpc.Header{Cluster: incarnation, Epoch: 5}, rpc.Heartbeat{Seq: 2})
	if h, ok := (<-zombie.in).m.(rpc.Heartbeat); !ok || h.Seq != 2 {
		t.Errorf("the zombie was answered with %#v", h)
	}
	l.tellTask(id, 1, "finish")
	if s := l.awaitState(1, job.Finished); s.PID != pid {
		t.Errorf("the task was disturbed: %+v", s)
	}
	l.send(rpc.Heartbeat{Seq: 7})
	await(l, func(h rpc.Heartbeat) bool { return h.Seq == 7 })
	if len(zombie.in) != 0 {
		t.Errorf("the old leader still gets messages: %#v", <-zombie.in)
	}
}

// A JobManager that has not said Lead is not obeyed, whatever epoch it names.
func TestNoCommandBeforeLead(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l := jm.joined()
	l.send(l.deployment(id, 1, "run"))
	l.send(rpc.Lead{})
	if r := await[rpc.Report](l, nil); len(r.Attempts) != 0 {
		t.Errorf("a deploy before Lead was obeyed: %+v", r)
	}
}

func TestDeployIsIdempotentAndFenced(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	pid := l.running(id, 3, "run").PID

	l.send(l.deployment(id, 3, "run"))
	if s := l.awaitState(3, job.Running); s.PID != pid {
		t.Errorf("deploying the same attempt again: process %d, was %d", s.PID, pid)
	}
	l.send(l.deployment(id, 2, "run"))
	if s := await[rpc.Stopped](l, nil); s.Job != id || s.Attempt != 2 {
		t.Errorf("deploying a lower attempt: %+v, want Stopped up to 2", s)
	}
	other := l.deployment(id, 9, "run")
	other.Instance = "tm-somebodyelse"
	l.send(other)
	malformed := l.deployment(id, 9, "run")
	malformed.Subtasks = nil
	l.send(malformed)
	l.send(rpc.Lead{})
	r := await[rpc.Report](l, nil)
	if len(r.Attempts) != 1 || r.Attempts[0].Attempt != 3 || r.Attempts[0].PID != pid {
		t.Errorf("after refused deploys: %+v", r)
	}
	// R16: a message of another cluster ends the connection, and changes nothing.
	l.sendAs(rpc.Header{Cluster: "another", Epoch: 99}, rpc.Stop{Instance: l.register.Instance, Job: id, Attempt: 3})
	l.ended()
	_, r = jm.lead()
	if len(r.Attempts) != 1 || r.Attempts[0].PID != pid {
		t.Errorf("after a message of another cluster: %+v", r)
	}
}

func TestStop(t *testing.T) {
	for _, script := range []string{"run", "stubborn"} {
		t.Run(script, func(t *testing.T) {
			m := startManager(t, func(c *Config) {
				if script == "stubborn" {
					c.Timeouts.Stop = 50 * time.Millisecond
				}
			})
			jm := newJobManager(t, "jm", 1)
			m.announce(jm)
			l, _ := jm.lead()
			id := job.NewID()
			pid := l.running(id, 1, script).PID

			l.send(rpc.Stop{Instance: l.register.Instance, Job: id, Attempt: 4})
			l.awaitState(1, job.Canceled)
			if s := await[rpc.Stopped](l, nil); s.Attempt != 4 {
				t.Errorf("%+v, want Stopped up to 4", s)
			}
			if alive(t, pid) {
				t.Error("Stopped was said of a process that lives")
			}
			l.send(l.deployment(id, 4, script)) // R6: promised
			if s := await[rpc.Stopped](l, nil); s.Attempt != 4 {
				t.Errorf("a deploy against the promise: %+v", s)
			}
			unknown := job.NewID()
			l.send(rpc.Stop{Instance: l.register.Instance, Job: unknown, Attempt: 2})
			if s := await[rpc.Stopped](l, nil); s.Job != unknown || s.Attempt != 2 {
				t.Errorf("stop of a job never seen: %+v", s)
			}
		})
	}
}

func TestHigherAttemptWaitsForTheEndOfTheLower(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	first := l.running(id, 1, "run").PID
	second := l.running(id, 2, "run").PID
	if alive(t, first) || !alive(t, second) {
		t.Errorf("lower alive: %v, higher alive: %v", alive(t, first), alive(t, second))
	}
	l.send(rpc.Lead{})
	if r := await[rpc.Report](l, nil); len(r.Attempts) != 1 || r.Attempts[0].Attempt != 2 {
		t.Errorf("report %+v", r)
	}
}

func TestFailures(t *testing.T) {
	store := sharedFor(t).store
	text, err := put(store, []byte("this is no program at all"))
	if err != nil {
		t.Fatal(err)
	}
	m := startManager(t, func(c *Config) { c.Timeouts.Ready = 5 * time.Second })
	impatient := startManager(t, func(c *Config) { c.Timeouts.Ready = 100 * time.Millisecond })
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	impatient.announce(jm)
	quick, _ := jm.lead()
	pausing := startManager(t, func(c *Config) { c.Lease = time.Minute })
	pausing.announce(jm)
	leased, _ := jm.lead()
	for _, c := range []struct {
		name, script, artifact string
		on                     *fakeLink
		then                   func(t *testing.T, l *fakeLink, s rpc.Status)
		want                   []string
	}{
		{name: "exits", script: "run", want: []string{"exited with status 2; the last lines of its standard error:\npanic: the sky is falling"},
			then: func(t *testing.T, l *fakeLink, s rpc.Status) {
				fmt.Fprintln(dialData(t, l.register.Data, s.Job, 1), "exit 2")
			}},
		{name: "is killed", script: "run", want: []string{"was killed by signal 9 (killed)", "nothing to its standard error"},
			then: func(t *testing.T, _ *fakeLink, s rpc.Status) { kill(t, s.PID) }},
		{name: "exits at once", script: "exit", want: []string{"exited with status 0 before its subtasks had ended"}},
		{name: "speaks no protocol", script: "garbage", want: []string{"does not speak the protocol of a task process"}},
		{name: "is never ready", script: "silent", on: quick, want: []string{"did not say within 100ms that it is ready"}},
		{name: "has another graph", script: "other graph", want: []string{"it built another graph (other"}},
		{name: "was built long ago", script: "old build", want: []string{"build the job again"}},
		{name: "knows no leases", script: "run", on: leased, want: []string{"knows no leases", "taskmanager.isolated: pause", "build the job again"}},
		{name: "is no program", script: "run", artifact: text, want: []string{"no program for " + here.String(), `"this is no progr"`}},
		{name: "is not stored", script: "run", artifact: strings.Repeat("ab", 32), want: []string{"fetch job binary", "no such object"}},
		{name: "is no hash", script: "run", artifact: "../../etc/passwd", want: []string{"is no SHA-256"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := l
			if c.on != nil {
				on = c.on
			}
			d := on.deployment(job.NewID(), 1, c.script)
			if c.artifact != "" {
				d.Spec.Artifact = c.artifact
			}
			on.send(d)
			if c.then != nil {
				c.then(t, on, on.awaitState(1, job.Running))
			}
			s := on.awaitState(1, job.Failed)
			for _, want := range c.want {
				if !strings.Contains(s.Subtasks[0].Failure, want) {
					t.Errorf("failure %q does not say %q", s.Subtasks[0].Failure, want)
				}
			}
		})
	}
}

// What a subtask says of itself is passed on, and stays when the process crashes later.
func TestOwnFailureStays(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	pid := l.running(id, 1, "run").PID
	l.tellTask(id, 1, "progress")
	if p := await[rpc.Progress](l, nil); p.Job != id || p.Attempt != 1 || len(p.Counters) != 2 {
		t.Errorf("progress %+v", p)
	}
	l.tellTask(id, 1, "fail")
	if s := l.awaitState(1, job.Failed); s.Subtasks[0].Failure != "operator count: boom" {
		t.Errorf("failure %q", s.Subtasks[0].Failure)
	}
	kill(t, pid)
	eventually(t, "the report shows the end of the process", func() bool {
		l.send(rpc.Lead{})
		a := await[rpc.Report](l, nil).Attempts[0]
		return a.PID == 0 && a.Subtasks[0].Failure == "operator count: boom"
	})
}

// A task process outlives its subtasks. One that ends before its attempt is over has failed it, and
// that is held for each leader like a final state.
func TestExitAfterTheSubtasks(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T, l *fakeLink, id job.ID, pid int)
		want string
	}{
		{"is killed", func(t *testing.T, l *fakeLink, id job.ID, pid int) {
			l.tellTask(id, 1, "finish")
			l.awaitState(1, job.Finished)
			kill(t, pid)
		}, "was killed by signal 9 (killed)"},
		{"exits", func(t *testing.T, l *fakeLink, id job.ID, _ int) {
			fmt.Fprintln(dialData(t, l.register.Data, id, 1), "finish and exit")
		}, "exited with status 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, id := startManager(t, nil), job.NewID()
			first, second := newJobManager(t, "jm1", 1), newJobManager(t, "jm2", 2)
			m.announce(first)
			l, _ := first.lead()
			pid := l.running(id, 1, "run").PID
			c.end(t, l, id, pid)
			want := fmt.Sprintf("task process %d %s after its subtasks had finished and before the job's end was committed;", pid, c.want)
			await(l, func(s rpc.Status) bool { return strings.HasPrefix(s.Failure, want) })
			first.die()

			m.announce(second)
			l, report := second.lead()
			if a := report.Attempts[0]; !strings.HasPrefix(a.Failure, want) || states(a.Subtasks) != "FINISHED FINISHED" {
				t.Errorf("the next leader hears %+v, want the failure %q", a, want)
			}
			l.send(rpc.Stop{Instance: l.register.Instance, Job: id, Attempt: 1})
			await[rpc.Stopped](l, nil)
			l.send(rpc.Confirm{Job: id, Attempt: 1})
			l.send(rpc.Lead{})
			if r := await[rpc.Report](l, nil); len(r.Attempts) != 0 {
				t.Errorf("a confirmed attempt is reported: %+v", r)
			}
		})
	}
}

// A process that ends because it was told to, after its subtasks had finished, has not failed.
func TestStopAfterTheSubtasks(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	pid := l.running(id, 1, "run").PID
	l.tellTask(id, 1, "finish")
	l.send(rpc.Stop{Instance: l.register.Instance, Job: id, Attempt: 1})
	await[rpc.Stopped](l, nil)
	if alive(t, pid) {
		t.Error("Stopped was said of a process that lives")
	}
	l.send(rpc.Lead{})
	a := await[rpc.Report](l, nil).Attempts[0]
	if a.Failure != "" || states(a.Subtasks) != "FINISHED FINISHED" {
		t.Errorf("after Stop: %+v", a)
	}
}

// Declared dead: the tasks end, and then a new instance registers that has none.
func TestDeclaredDead(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm := newJobManager(t, "jm", 7)
	m.announce(jm)
	l, _ := jm.lead()
	pid := l.running(id, 1, "stubborn").PID
	l.send(rpc.Refused{Reason: "silent for 5s", Dead: true})
	l.ended()
	again, report := jm.lead()
	if alive(t, pid) {
		t.Error("a new instance registered while a task of the old one lives")
	}
	if again.register.Instance == l.register.Instance || len(report.Attempts) != 0 {
		t.Errorf("the new instance %s (was %s) reports %+v", again.register.Instance, l.register.Instance, report)
	}
}

// A new instance in the same process knows the epoch of the one before: the leader that declared
// it dead is out of reach, and an older one is not followed in its place (I4).
func TestNewInstanceKeepsTheEpoch(t *testing.T) {
	m := startManager(t, nil)
	jm, zombie := newJobManager(t, "jm", 7), newJobManager(t, "zombie", 6)
	m.announce(jm, zombie)
	l, _ := jm.lead()
	old := zombie.joined()
	jm.ln.Close()
	l.send(rpc.Refused{Reason: "silent for 5s", Dead: true})
	l.ended()
	old.ended()
	again := zombie.joined()
	again.send(rpc.Lead{})
	again.sendAs(rpc.Header{Cluster: incarnation, Epoch: 7}, rpc.Heartbeat{Seq: 2})
	if h, ok := (<-again.in).m.(rpc.Heartbeat); !ok || h.Seq != 2 {
		t.Errorf("the new instance has forgotten the epoch: it answered the zombie with %#v", h)
	}
}

// The same when it finds out by registering: it had been cut off.
func TestDeclaredDeadOnReturn(t *testing.T) {
	m := startManager(t, nil)
	jm := newJobManager(t, "jm", 7)
	var first string
	jm.answer = func(r rpc.Register) rpc.Message {
		if first == "" {
			first = r.Instance
		}
		if r.Instance == first {
			return rpc.Refused{Reason: "declared dead", Dead: true}
		}
		return rpc.Welcome{ID: "jm"}
	}
	m.announce(jm)
	if l, _ := jm.lead(); l.register.Instance == first {
		t.Errorf("instance %s registered again", first)
	}
}

func TestRefusedTriesAgain(t *testing.T) {
	m := startManager(t, nil)
	jm := newJobManager(t, "jm", 1)
	tries := 0
	jm.answer = func(rpc.Register) rpc.Message {
		if tries++; tries < 3 {
			return rpc.Refused{Reason: "another storage"}
		}
		return rpc.Welcome{ID: "jm"}
	}
	m.announce(jm)
	jm.joined()
	if tries != 3 {
		t.Errorf("%d tries", tries)
	}
}

// A TaskManager that is started before the cluster's first leader registers when there is one.
func TestWaitsForTheCluster(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := startManager(t, func(c *Config) { c.Storage = store })
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	if _, err := store.CreateIncarnation(context.Background(), incarnation); err != nil {
		t.Fatal(err)
	}
	if l := jm.joined(); l.register.Storage != incarnation {
		t.Errorf("registration %+v", l.register)
	}
}

// A JobManager of another cluster is left alone, whatever it says.
func TestAnotherCluster(t *testing.T) {
	store, err := storage.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateIncarnation(context.Background(), "another"); err != nil {
		t.Fatal(err)
	}
	m := startManager(t, func(c *Config) { c.Storage = store })
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	jm.joined().ended()
}

// Addresses that discovery names no more are not dialed again, and those that come are.
func TestMembership(t *testing.T) {
	m := startManager(t, nil)
	first, second, third := newJobManager(t, "jm1", 1), newJobManager(t, "jm2", 0), newJobManager(t, "jm3", 0)
	m.announce(first, second)
	l, _ := first.lead()
	second.joined()
	m.announce(second, third)
	third.joined()
	l.send(rpc.Heartbeat{Seq: 1}) // no longer named, and still connected
	await[rpc.Heartbeat](l, nil)
	l.conn.Close()
	l.ended()
	m.announce(first, second, third)
	first.joined()
}

// A leader that falls silent is dialed again; its tasks go on.
func TestSilentLeader(t *testing.T) {
	m, id := startManager(t, func(c *Config) { c.Timeouts.Silence = 300 * time.Millisecond }), job.NewID()
	jm := newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	pid := l.running(id, 1, "run").PID
	l.send(rpc.Heartbeat{Seq: 1})
	l.ended()
	if _, r := jm.lead(); len(r.Attempts) != 1 || r.Attempts[0].PID != pid {
		t.Errorf("after silence: %+v", r)
	}
}

func TestGracefulEnd(t *testing.T) {
	m, id := startManager(t, nil), job.NewID()
	jm, standby := newJobManager(t, "jm", 1), newJobManager(t, "standby", 0)
	m.announce(jm, standby)
	l, _ := jm.lead()
	other := standby.joined()
	pid := l.running(id, 1, "run").PID
	l.send(rpc.Plan{Spec: job.Spec{ID: job.NewID(), Artifact: sharedFor(t).artifact, Args: []string{"slow"}}})
	l.send(rpc.Heartbeat{Seq: 1})
	await[rpc.Heartbeat](l, nil) // the plan is under way
	if err := m.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if p := await[rpc.Planned](l, nil); !p.Retry {
		t.Errorf("a plan at the end: %+v", p)
	}
	await[rpc.Farewell](l, nil)
	await[rpc.Farewell](other, nil)
	if alive(t, pid) {
		t.Error("Farewell was said while a task lives")
	}
}

// A TaskManager that is told to end does not wait for a task process that does not: one whose user code does not return,
// or one that is stopped. It kills it, and says so in its goodbye.
func TestGracefulEndOfStuckTasks(t *testing.T) {
	for name, stick := range map[string]func(t *testing.T, l *fakeLink, id job.ID) int{
		"stubborn": func(_ *testing.T, l *fakeLink, id job.ID) int { return l.running(id, 1, "stubborn").PID },
		"stopped": func(t *testing.T, l *fakeLink, id job.ID) int {
			pid := l.running(id, 1, "run").PID
			freeze(t, pid)
			return pid
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, jm := startManager(t, func(c *Config) { c.Timeouts.Stop, c.Timeouts.Leave = time.Hour, 20*time.Millisecond }), newJobManager(t, "jm", 1)
			m.announce(jm)
			l, _ := jm.lead()
			id, good := job.NewID(), job.NewID()
			l.running(good, 1, "run")
			pid := stick(t, l, id)
			if err := m.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
			bye := await[rpc.Farewell](l, nil)
			if alive(t, pid) {
				t.Error("Farewell was said while a task lives")
			}
			want := fmt.Sprintf("task process %d of job %s, which had not ended ", pid, id)
			if !slices.ContainsFunc(bye.Killed, func(s string) bool { return strings.HasPrefix(s, want) }) {
				t.Errorf("it killed %q, want %q", bye.Killed, want)
			}
		})
	}
}

// The answers to a leader's heartbeats tell the load, each measurement once.
func TestHeartbeatsTellTheLoad(t *testing.T) {
	if _, known := measure(nil); !known {
		t.Skip("the load cannot be measured here")
	}
	m, jm := startManager(t, nil), newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	told := 0
	for seq := uint64(1); told == 0; seq++ {
		l.send(rpc.Heartbeat{Seq: seq})
		if b := await[rpc.Heartbeat](l, nil); b.Seq != seq {
			t.Fatalf("heartbeat %d was answered with %d", seq, b.Seq)
		} else if b.Load != nil {
			told++
		}
	}
}

// A drained TaskManager is told to end, and does in order; another instance's order is not its own.
func TestRetire(t *testing.T) {
	m, jm := startManager(t, nil), newJobManager(t, "jm", 1)
	m.announce(jm)
	l, _ := jm.lead()
	l.send(rpc.Retire{Instance: "another"})
	l.send(rpc.Heartbeat{Seq: 1})
	await[rpc.Heartbeat](l, nil)
	l.send(rpc.Retire{Instance: l.register.Instance})
	await[rpc.Farewell](l, nil)
	if err := <-m.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	close(m.done)
}

// A TaskManager that cannot note its end, as its disk is full, has ended in order all the same: one that was drained is not to be
// started again for a failure.
func TestEndIsNoFailure(t *testing.T) {
	jm := newJobManager(t, "jm", 1)
	m := startManager(t, nil)
	m.announce(jm)
	jm.lead()
	if err := os.Mkdir(filepath.Join(m.workDir, "instances.tmp"), 0o755); err != nil { // in the way
		t.Fatal(err)
	}
	if err := m.stop(); err != nil {
		t.Error(err)
	}
}

// The work directory tells who used it: an instance that was stopped in order, although nobody heard its farewell, and
// one that was killed.
func TestPredecessorsAreNamed(t *testing.T) {
	dir, jm := t.TempDir(), newJobManager(t, "jm", 1)
	m := startManager(t, func(c *Config) { c.WorkDir = dir })
	m.announce(jm)
	l, _ := jm.lead()
	if len(l.register.Replaces) != 0 {
		t.Errorf("the first replaces %+v", l.register.Replaces)
	}
	l.conn.Close()
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	config := childConfig{WorkDir: dir, Storage: sharedFor(t).dir, JobManager: jm.addr()}
	child := startChild(t, config)
	second, _ := jm.lead()
	for second.register.Instance == l.register.Instance { // it may have dialed again before it ended
		second, _ = jm.lead()
	}
	kill(t, child.Process.Pid)
	_ = child.Wait()
	startChild(t, config)
	third, _ := jm.lead()
	want := []rpc.Predecessor{{Instance: l.register.Instance, Left: true}, {Instance: second.register.Instance}}
	if !slices.Equal(third.register.Replaces, want) || !slices.Equal(second.register.Replaces, want[:1]) {
		t.Errorf("the second replaces %+v, the third %+v; want %+v", second.register.Replaces, third.register.Replaces, want)
	}
}

// A TaskManager that is killed takes its task processes with it, and one that starts on the
// same work directory is a new instance.
func TestKilledTaskManager(t *testing.T) {
	jm := newJobManager(t, "jm", 1)
	config := childConfig{WorkDir: t.TempDir(), Storage: sharedFor(t).dir, JobManager: jm.addr()}
	first, second := startChild(t, config), job.NewID()
	l, _ := jm.lead()
	pid := l.running(second, 1, "stubborn").PID
	if len(files(t, filepath.Join(config.WorkDir, "processes", "*"))) != 1 {
		t.Error("the task process is not recorded")
	}

	if _, err := net.Listen("tcp", l.register.Data); err == nil {
		t.Fatal("the data port is free")
	}
	locked := Config{Slots: 1, WorkDir: config.WorkDir, Storage: sharedFor(t).store, Discover: fixed(jm.addr()), Timeouts: Timeouts{Lock: 50 * time.Millisecond}}
	if err := Run(context.Background(), locked); err == nil || !strings.Contains(err.Error(), "another TaskManager uses the work directory") {
		t.Errorf("a second TaskManager on one work directory: %v", err)
	}

	kill(t, first.Process.Pid)
	_ = first.Wait()
	eventually(t, "the task process dies with its TaskManager", func() bool { return !alive(t, pid) })
	startChild(t, config)
	again, report := jm.lead()
	if again.register.Instance == l.register.Instance || len(report.Attempts) != 0 {
		t.Errorf("the next TaskManager is %s (was %s) and reports %+v", again.register.Instance, l.register.Instance, report)
	}
	again.running(second, 2, "run")
}

func startChild(t *testing.T, config childConfig) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_TASKMANAGER="+string(b))
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			kill(t, cmd.Process.Pid)
			_ = cmd.Wait()
		}
	})
	return cmd
}

// What a JobManager tells of the others is dialed, but not a second way to one that is linked already.
func TestKnownAddresses(t *testing.T) {
	told := []rpc.Whereabouts{{ID: "a", Address: "127.0.0.1:1"}, {ID: "b", Address: "127.0.0.1:2"}}
	k := whereabouts{found: []string{"localhost:1"}, linked: map[string]string{}}
	for _, step := range []struct {
		said saying
		want string
	}{
		{saying{"localhost:1", "a", nil}, "localhost:1"},
		{saying{"localhost:1", "a", told}, "localhost:1 127.0.0.1:2"},
		{saying{"127.0.0.1:2", "b", told}, "localhost:1 127.0.0.1:2"},
		{saying{"localhost:1", "", nil}, "localhost:1 127.0.0.1:1 127.0.0.1:2"},
		{saying{"127.0.0.1:1", "a", told}, "localhost:1 127.0.0.1:1 127.0.0.1:2"},
		{saying{"localhost:1", "a", told}, "localhost:1 127.0.0.1:2"},
	} {
		if got := strings.Join(k.hear(step.said), " "); got != step.want {
			t.Errorf("after %+v: %s, want %s", step.said, got, step.want)
		}
	}
}
