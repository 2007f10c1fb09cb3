package jobmanager

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/restart"
	"github.com/perennial-io/perennial/internal/rpc"
)

// A TaskManager that dies is declared dead at once, as its port refuses; the job starts over
// under the next attempt when the survivors have promised and there are slots.
func TestTaskManagerKilled(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm1, tm2 := w.taskManager("tm-1", 1).start(), w.taskManager("tm-2", 1).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool {
		return tm1.did("deploys attempt 1 slots [0]") == 1 && tm2.did("deploys attempt 1 slots [1]") == 1
	})
	began := time.Now()
	tm2.kill()
	w.eventually("waits for a slot", func() bool { j := w.job(id); return j.State == job.Created && j.SlotsMissing == 1 })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("declared after %v, not at once", took)
	}
	if j := w.job(id); !strings.Contains(j.Failure, "TaskManager tm-2 was lost") {
		t.Errorf("reason: %q", j.Failure)
	}
	tm3 := w.taskManager("tm-3", 1).start()
	w.eventually("starts over", func() bool {
		return tm3.did("deploys attempt 2 slots [1]")+tm3.did("deploys attempt 2 slots [0]") == 1
	})
	if tm1.did("stops attempt 1") != 1 || tm1.did("confirmed attempt 1") != 1 {
		t.Errorf("the survivor: %q", tm1.history())
	}
	if j := w.await(id, job.Running); j.Attempt != 2 || j.Restarts != 1 {
		t.Errorf("attempts %d, restarts %d", j.Attempt, j.Restarts)
	}

	// It was only cut off after all: it is told, under its name, for ever.
	back := w.taskManager("tm-2", 1).start()
	w.eventually("refused as dead", func() bool {
		return strings.Contains(strings.Join(back.history(), "\n"), "refused dead=true")
	})
}

// A connection that breaks is no evidence.
func TestBrokenConnectionChangesNothing(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	for range 3 {
		tm.disconnect()
		w.eventually("connected anew", func() bool {
			c, err := n.Cluster(t.Context())
			return err == nil && c.TaskManagers == 1
		})
	}
	tm.change(id, job.Finished, "")
	if j := w.await(id, job.Finished); j.Attempt != 1 {
		t.Errorf("attempts %d; %q", j.Attempt, tm.history())
	}
}

// A TaskManager whose host is gone answers nothing: the time-out decides.
func TestSilentTaskManagerIsDeclaredDead(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = 200 * time.Millisecond }
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2)
	tm.deaf["heartbeat"] = true
	tm.start()
	w.leader()
	w.eventually("refused as dead", func() bool { return strings.Contains(strings.Join(tm.history(), "\n"), "was silent for") })
	if c, err := n.Cluster(t.Context()); err != nil || c.Slots != 0 {
		t.Errorf("cluster: %+v, %v", c, err)
	}
}

// A leader that finds a TaskManager committed as live, and not connected, gives it the
// time-out from its own read.
func TestTaskManagerThatDiedWithTheLeader(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = 400 * time.Millisecond }
	a := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	a.kill()
	<-a.done
	tm.kill()
	w.start("jm-b")
	w.taskManager("tm-2", 2).start()
	w.leader(a)
	began := time.Now()
	w.eventually("starts over", func() bool { j := w.job(id); return j.State == job.Running && j.Attempt == 2 })
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("declared dead after %v", took)
	}
}

// A declared death is found by the next leader, although its author did nothing else about it.
func TestDeathFoundByTheNextLeader(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	tm1, tm2 := w.taskManager("tm-1", 1).start(), w.taskManager("tm-2", 1)
	tm1.deaf["stop"] = true
	tm2.start()
	w.leader()
	id := w.submit(a)
	w.eventually("deployed", func() bool { return tm2.did("deploys attempt 1 slots [1]") == 1 })
	tm2.kill()
	w.eventually("asked to stop", func() bool { return tm1.did("deaf to stop") > 0 })
	tm1.hear()
	a.kill()
	w.start("jm-b")
	w.eventually("waits for a slot", func() bool { j := w.job(id); return j.State == job.Created && j.SlotsMissing == 1 })
	w.taskManager("tm-3", 1).start()
	w.eventually("starts over", func() bool { j := w.job(id); return j.State == job.Running && j.Attempt == 2 })
}

// A new TaskManager on the data address of one that a new leader has not met is proof of that
// one's death: nobody waits for the time-out.
func TestNewOwnerOfADataAddress(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = time.Minute }
	a := w.start("jm-a")
	first := w.taskManager("tm-1", 2).start()
	w.leader()
	w.eventually("registered", func() bool { return first.did("follows epoch 1") == 1 })
	a.kill()
	first.kill()
	second := w.taskManager("tm-2", 2)
	second.data.Close()
	var err error
	if second.data, err = net.Listen("tcp", first.data.Addr().String()); err != nil {
		t.Fatal(err)
	}
	second.start()
	b := w.start("jm-b")
	w.leader(a)
	w.eventually("the first is declared dead", func() bool { return b.leading.Load().registry.deaths(t) == 1 })
}

// Who holds the lock of a work directory is proof that those before it have ended, if it is that host's: a new leader
// waits for no time-out. What was stopped in order is no failure, whatever the restart strategy.
func TestSuccessorInTheWorkDirectory(t *testing.T) {
	for _, c := range []struct {
		name     string
		before   rpc.Predecessor
		host     string
		kind     restart.Kind
		restarts int
		deaths   int
		want     job.State
	}{
		{"stopped", rpc.Predecessor{Instance: "tm-1", Left: true}, "here", restart.None, 0, 1, job.Running},
		{"killed", rpc.Predecessor{Instance: "tm-1"}, "here", restart.ExponentialDelay, 1, 1, job.Running},
		{"killed, and no restarts", rpc.Predecessor{Instance: "tm-1"}, "here", restart.None, 0, 1, job.Failed},
		{"a copy on another host", rpc.Predecessor{Instance: "tm-1", Left: true}, "there", restart.None, 0, 0, job.Running},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.tune = func(cfg *Config) { cfg.TaskManagerTimeout, cfg.Restart.Kind = time.Minute, c.kind }
			a := w.start("jm-a")
			first := w.taskManager("tm-1", 2).start()
			w.leader()
			id := w.submit(a)
			w.eventually("deployed", func() bool { return first.did("deploys attempt 1 slots [0 1]") == 1 })
			a.kill()
			first.kill()
			second := w.taskManager("tm-2", 2)
			second.host, second.replaces = c.host, []rpc.Predecessor{{Instance: "tm-0"}, c.before}
			second.start()
			b := w.start("jm-b")
			w.leader(a)
			w.eventually("registered", func() bool { return second.did("follows epoch 2") == 1 })
			w.eventually("declared dead", func() bool { return b.leading.Load().registry.deaths(t) == c.deaths })
			j := w.await(id, c.want)
			if c.deaths == 1 && c.want == job.Running {
				w.eventually("deployed", func() bool { return second.did("deploys attempt 2 slots [0 1]") == 1 })
				j = w.job(id)
			}
			if j.Restarts != c.restarts {
				t.Errorf("%d restarts, want %d", j.Restarts, c.restarts)
			}
		})
	}
}

// A TaskManager that ends in order, and can say so, is no failure either.
func TestFarewellCountsAsNoRestart(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.Restart.Kind = restart.None }
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	second := w.taskManager("tm-2", 2).start()
	w.eventually("registered", func() bool { return second.did("follows epoch 1") == 1 })
	tm.farewell()
	w.eventually("deployed", func() bool { return second.did("deploys attempt 2 slots [0 1]") == 1 })
	if j := w.await(id, job.Running); j.Restarts != 0 {
		t.Errorf("%d restarts: %s", j.Restarts, j.Failure)
	}
}

func TestFarewellIsEvidence(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	tm.farewell("task process 7 of the job, which had not ended 1s after it was asked to")
	w.eventually("waits for slots", func() bool { j := w.job(id); return j.State == job.Created && j.SlotsMissing == 2 })
	if why := w.job(id).Failure; !strings.Contains(why, "TaskManager tm-1 was lost: it said that it ends; it killed task process 7 of the job, which had not ended 1s") {
		t.Errorf("the reason that the job tells: %q", why)
	}
}

func TestTaskManagerOfAnotherClusterIsRefused(t *testing.T) {
	w := newWorld(t)
	w.start("jm-a")
	tm := w.taskManager("tm-1", 2)
	tm.storage = "another"
	tm.start()
	w.eventually("refused", func() bool {
		return strings.Contains(strings.Join(tm.history(), "\n"), "storage.dir must be the same directory everywhere")
	})
}

// R16: what a TaskManager says in the name of another cluster ends its connection, and nothing else.
func TestMessageOfAnotherClusterEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	w.leader()
	raw, err := net.Dial("tcp", n.self.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn, err := rpc.Dialed(raw)
	if err != nil {
		t.Fatal(err)
	}
	cluster, _ := w.storage.Incarnation(t.Context())
	_ = conn.Send(rpc.Header{Cluster: cluster}, rpc.Register{Instance: "tm-1", Slots: 1, Data: "127.0.0.1:1", Storage: cluster})
	w.eventually("registered", func() bool {
		_, m, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		return m == rpc.Lead{}
	})
	_ = conn.Send(rpc.Header{Cluster: cluster, Epoch: 1}, rpc.Report{})
	_ = conn.Send(rpc.Header{Cluster: "another", Epoch: 1}, rpc.Heartbeat{})
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = conn.Receive() // heartbeats
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stands")
	}
}

// Whatever arrives on the RPC port, the connection is closed and the rest goes on.
func TestMalformedBytesOnTheRPCPort(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	for name, send := range map[string]string{
		"http":           "GET / HTTP/1.1\r\n\r\n",
		"huge length":    "PRNLctl\x02\xff\xff\xff\xff",
		"no json":        "PRNLctl\x02\x00\x00\x00\x04abcd",
		"wrong opening":  "PRNLctl\x02\x00\x00\x00\x1d" + `{"kind":"farewell","body":{}}`,
		"empty register": "PRNLctl\x02\x00\x00\x00\x1d" + `{"kind":"register","body":{}}`,
	} {
		c, err := net.Dial("tcp", n.self.Address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, send)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for b := make([]byte, 256); err == nil; { // a refusal, then the end
			_, err = c.Read(b)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", name)
		}
		c.Close()
	}
	id := w.submit(n)
	w.await(id, job.Running)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
}

// happeningFunc is done by the registry's goroutine.
type happeningFunc func(*registry)

func (f happeningFunc) apply(r *registry) { f(r) }

// A leader that was stopped for a while (SIGSTOP) has heard nobody. It asks whether it still
// leads, and then listens anew, before it calls that silence (R11).
func TestOwnPauseIsNoSilenceOfOthers(t *testing.T) {
	w := newWorld(t)
	w.tune = func(c *Config) { c.TaskManagerTimeout = 5 * time.Second }
	n := w.start("jm-a")
	tm := w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(n)
	w.eventually("deployed", func() bool { return tm.did("deploys attempt 1 slots [0 1]") == 1 })
	paused := make(chan struct{})
	n.leading.Load().registry.post(happeningFunc(func(r *registry) {
		r.ticked -= time.Minute // as if the last tick were a minute ago, and every word with it
		for _, m := range r.managers {
			m.session.heard.Add(-int64(time.Minute))
		}
		r.tick(r.ctx)
		if r.managers["tm-1"].doom != "" || !r.validating {
			t.Error("it was judged before the epoch was validated")
		}
		close(paused)
	}))
	<-paused
	w.eventually("validated", func() bool {
		answer := make(chan bool, 1)
		n.leading.Load().registry.post(happeningFunc(func(r *registry) { answer <- !r.validating }))
		return <-answer
	})
	tm.change(id, job.Finished, "")
	if j := w.await(id, job.Finished); j.Attempt != 1 {
		t.Errorf("attempts %d", j.Attempt)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		free    map[string]int
		n       int
		want    string
		missing int
	}{
		{map[string]int{"a": 2, "b": 2}, 4, "a b a b", 0},
		{map[string]int{"a": 1, "b": 3}, 3, "b b a", 0},
		{map[string]int{"a": 4, "b": 4}, 1, "a", 0},
		{map[string]int{"a": 1, "b": -1}, 3, "", 2},
		{nil, 2, "", 2},
	} {
		got, missing := spread(c.free, c.n)
		if strings.Join(got, " ") != c.want || missing != c.missing {
			t.Errorf("spread(%v, %d) = %q, %d; want %q, %d", c.free, c.n, got, missing, c.want, c.missing)
		}
	}
}
