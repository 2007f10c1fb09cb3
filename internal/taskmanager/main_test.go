package taskmanager

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// graphHash is what the scripted job's plan is said to have.
const graphHash = "0000000000000000000000000000000000000000000000000000000000000042"

// TestMain makes the test binary play the other processes, too: a job binary, a TaskManager
// that can be killed, and a process that only waits.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("PERENNIAL_ROLE") == "plan":
		os.Exit(scriptedPlan(os.Args[1]))
	case os.Getenv("PERENNIAL_ROLE") == "task":
		os.Exit(scriptedTask(os.Args[1]))
	case os.Getenv("TEST_TASKMANAGER") != "":
		os.Exit(childTaskManager(os.Getenv("TEST_TASKMANAGER")))
	case os.Getenv("TEST_WAITS") != "":
		signal.Ignore(syscall.SIGTERM)
		<-time.After(time.Minute) // it is killed long before
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(cleanUp))
}

// scriptedPlan is a job binary in plan mode.
func scriptedPlan(script string) int {
	fd3 := os.NewFile(3, "plan")
	fmt.Println("what user code prints")
	switch script {
	case "plan", "run":
		var spec job.Spec
		if err := json.Unmarshal([]byte(os.Getenv("PERENNIAL_SPEC")), &spec); err != nil {
			return 3
		}
		g := job.Graph{Name: spec.Name, MaxParallelism: 128, Vertices: []job.Vertex{{Name: "v", Parallelism: spec.Parallelism}}}
		_ = json.NewEncoder(fd3).Encode(g)
	case "nothing":
	case "fail":
		fmt.Fprintln(os.Stderr, "argument input is missing")
		return 2
	case "garbage":
		fmt.Fprint(fd3, "no JSON")
	case "empty graph":
		fmt.Fprint(fd3, "{}")
	case "huge":
		b := []byte(strings.Repeat("x", 1<<20))
		for {
			if _, err := fd3.Write(b); err != nil {
				return 4
			}
		}
	case "slow":
		<-time.After(time.Minute) // it is killed long before
	}
	return 0
}

// scriptedTask is a job binary as a task process. Once it runs it does what the data
// connections that it is handed say.
func scriptedTask(script string) int {
	control, err := net.FileConn(os.NewFile(3, "control"))
	if err != nil {
		return 10
	}
	switch script {
	case "exit":
		return 0
	case "release of protocol 2":
		return taskOfProtocol2(control)
	case "garbage":
		fmt.Fprint(control, "GET / HTTP/1.1\r\n\r\n")
	}
	s := &scripted{conn: rpc.New(control), script: script}
	for {
		_, m, err := s.conn.Receive()
		if err != nil {
			return 11 // the TaskManager has gone
		}
		switch m := m.(type) {
		case rpc.Start:
			s.begin(m.Deploy)
		case rpc.Cancel:
			if script != "stubborn" {
				s.say(job.Canceled, "", nil)
				return 0
			}
		}
	}
}

type scripted struct {
	conn   *rpc.Conn
	script string
	d      rpc.Deploy
}

func (s *scripted) begin(d rpc.Deploy) {
	s.d = d
	switch s.script {
	case "silent":
		return
	case "old build":
		_ = s.conn.Send(rpc.Header{}, rpc.Ready{GraphHash: d.GraphHash})
		return
	case "other graph":
		_ = s.conn.Send(rpc.Header{}, rpc.Ready{GraphHash: "other", Protocol: rpc.Protocol})
		return
	}
	_ = s.conn.Send(rpc.Header{}, rpc.Ready{GraphHash: d.GraphHash, Protocol: rpc.Protocol})
	s.say(job.Running, "", nil)
	go s.accept()
}

func (s *scripted) say(state job.State, failure string, outputs []job.Output) {
	var r rpc.AttemptReport
	for _, sub := range s.d.Subtasks {
		r.Subtasks = append(r.Subtasks, rpc.SubtaskReport{Subtask: sub, State: state, Failure: failure, Outputs: outputs})
	}
	_ = s.conn.Send(rpc.Header{}, rpc.Status{AttemptReport: r})
}

func (s *scripted) accept() {
	conn, _ := net.FileConn(os.NewFile(4, "data"))
	for {
		oob := make([]byte, syscall.CmsgSpace(4))
		n, oobn, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), oob)
		if err != nil || n == 0 {
			return
		}
		scm, _ := syscall.ParseSocketControlMessage(oob[:oobn])
		fds, _ := syscall.ParseUnixRights(&scm[0])
		c, _ := net.FileConn(os.NewFile(uintptr(fds[0]), "connection"))
		go s.serve(c)
	}
}

// serve does what the lines of a data connection say, and echoes them.
func (s *scripted) serve(c net.Conn) {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch strings.TrimSpace(line) {
		case "finish":
			s.say(job.Finished, "", []job.Output{{Temp: "/tmp/.a", Final: "/tmp/a"}})
		case "finish and exit":
			s.say(job.Finished, "", nil)
			os.Exit(0)
		case "fail":
			s.say(job.Failed, "operator count: boom", nil)
		case "progress":
			_ = s.conn.Send(rpc.Header{}, rpc.Progress{Subtasks: s.d.Subtasks, Counters: make([]job.Counters, len(s.d.Subtasks))})
		case "exit 2":
			fmt.Fprint(os.Stderr, "panic: the sky is falling\n")
			os.Exit(2)
		}
		fmt.Fprint(c, line)
	}
}

// childConfig is how a test tells a TaskManager of its own process what to do.
type childConfig struct{ WorkDir, Storage, JobManager string }

func childTaskManager(config string) int {
	var c childConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return 12
	}
	store, err := storage.Open(context.Background(), c.Storage)
	if err != nil {
		return 13
	}
	err = Run(context.Background(), Config{
		Slots: 2, WorkDir: c.WorkDir, Storage: store, Discover: fixed(c.JobManager), Logger: slog.Default(),
	})
	fmt.Fprintln(os.Stderr, err)
	return 14
}
