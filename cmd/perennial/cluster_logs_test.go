package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
)

// own starts a cluster for one test.
func own(t *testing.T, c localcluster.Config) (*localcluster.Cluster, *client.Client) {
	t.Helper()
	c.Binary, c.Dir = binaries.perennial, t.TempDir()
	cl, err := localcluster.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	api := cl.Client()
	t.Cleanup(func() {
		api.Close()
		cl.Stop()
	})
	if err := cl.Ready(limited(t), api); err != nil {
		t.Fatalf("%v\n%s", err, cl.Logs())
	}
	return cl, api
}

// runsPrinting runs a job that prints numbers on such a cluster, and returns its id.
func runsPrinting(t *testing.T, cl *localcluster.Cluster, api *client.Client, parallelism int) client.ID {
	t.Helper()
	r := typed(t, "run", "-D", "high-availability=embedded", "-D", "jobmanagers="+strings.Join(cl.Rest, ","), "-d", "-p", strconv.Itoa(parallelism), binaries.mistakes, "--", "--what", "prints")
	r.expect(t, 0)
	id := client.ID(strings.TrimSpace(r.stdout))
	if _, err := cl.Running(limited(t), api, id); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestLogsThroughALeaderChange: logs that are followed go on under the next leader, with nothing twice and nothing left out.
func TestLogsThroughALeaderChange(t *testing.T) {
	t.Parallel()
	cl, api := own(t, localcluster.Config{JobManagers: 3, TaskManagers: 1, Slots: 1, Embedded: true})
	id := runsPrinting(t, cl, api, 1)
	b := inBackground(t, t.TempDir(), "logs", "-D", "high-availability=embedded", "-D", "jobmanagers="+strings.Join(cl.Rest, ","), "-f", "-n", "-1", string(id))
	number := regexp.MustCompile(`number (\d+)\n`)
	last := func() (n int) {
		text, err := os.ReadFile(b.out)
		if err != nil {
			t.Fatal(err)
		}
		all := number.FindAllSubmatch(text, -1)
		for i, m := range all {
			if n, _ = strconv.Atoi(string(m[1])); n != i {
				t.Fatalf("number %d is the one of place %d", n, i)
			}
		}
		return n
	}
	for range 2 {
		from := last()
		eventually(t, func() error {
			if n := last(); n < from+500 {
				return fmt.Errorf("number %d, after %d", n, from)
			}
			return nil
		})
		leader, _, err := cl.Leader(limited(t), api)
		if err != nil {
			t.Fatal(err)
		}
		leader.Kill()
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		if err := cl.Ready(limited(t), api); err != nil {
			t.Fatal(err)
		}
	}
	from := last()
	eventually(t, func() error {
		if n := last(); n < from+500 {
			return fmt.Errorf("number %d, after %d", n, from)
		}
		return nil
	})
	if status, _ := b.interrupt(t); status != 0 {
		t.Errorf("status %d", status)
	}
}

// TestWhoDoesNotAnswerIsNamed: a TaskManager that stands still is named by logs and profile, which have what the others say.
func TestWhoDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	cl, api := own(t, localcluster.Config{JobManagers: 1, TaskManagers: 2, Slots: 1, Settings: map[string]string{"taskmanager.timeout": "10m"}})
	_, port, err := net.SplitHostPort(cl.Rest[0])
	if err != nil {
		t.Fatal(err)
	}
	rest := "rest.port=" + port
	r := typed(t, "run", "-D", rest, "-d", "-p", "2", binaries.mistakes, "--", "--what", "prints")
	id := client.ID(strings.TrimSpace(r.stdout))
	j, err := cl.Running(limited(t), api, id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := api.TaskManagers(limited(t))
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	still := list[0]
	if err := syscall.Kill(still.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(still.PID, syscall.SIGCONT) }()
	r = typed(t, "logs", "-D", rest, string(id), "-n", "5")
	r.expect(t, exitFailed, "what there is on TaskManager "+still.ID+" is missing here: ", "has not answered within")
	if !strings.Contains(r.stdout, list[1].ID) || !strings.Contains(r.stdout, "number ") {
		t.Errorf("the other's output is not there: %s", r.stdout)
	}
	dir := t.TempDir()
	r = finish(t, command(limited(t), dir, "profile", "-D", rest, string(id), "goroutine"))
	pid := 0
	for _, s := range localcluster.Subtasks(j) {
		if s.TaskManager == still.ID {
			pid = s.PID
		}
	}
	r.expect(t, exitFailed, fmt.Sprintf("profile of task process %d on TaskManager %s: ", pid, still.ID))
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%d profiles of one process that answers: %v", len(files), err)
	}
}
