package jobmanager

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestInspections: each answer reaches who asked, once, and questions are bounded.
func TestInspections(t *testing.T) {
	var i inspections
	first, firstAnswer := i.begin()
	second, secondAnswer := i.begin()
	i.answered(rpc.Inspected{Query: second, Error: "second"})
	i.answered(rpc.Inspected{Query: second, Error: "again"}) // which nobody waits for
	if a := <-secondAnswer; a.Error != "second" || len(firstAnswer) > 0 {
		t.Errorf("%+v", a)
	}
	i.end(first)
	i.answered(rpc.Inspected{Query: first})
	if len(firstAnswer) > 0 {
		t.Error("an answer came after the end")
	}
	var leave func()
	for range maxInspections {
		var err error
		if leave, err = i.enter(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := i.enter(); err == nil {
		t.Errorf("more than %d questions are in work", maxInspections)
	}
	leave()
	if _, err := i.enter(); err != nil {
		t.Error(err)
	}
}

// TestProbeManyTaskManagers: a question to all is one, however many they are.
func TestProbeManyTaskManagers(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	jm := w.leader()
	for i := range maxInspections + 8 {
		w.taskManager(fmt.Sprintf("tm-%d", i), 1).start()
	}
	w.eventually("all are connected", func() bool { return jm.connections.countTaskManagers() == maxInspections+8 })
	list, err := jm.ProbeTaskManagers(t.Context(), inspect.Probe{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Error != "" {
			t.Errorf("%s: %s", p.TaskManager, p.Error)
		}
	}
}

func TestFindTaskManager(t *testing.T) {
	c := newConnections()
	for instance, host := range map[string]string{"tm-aaxx": "a", "tm-bbyy": "b", "tm-bczz": "b"} {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		s := newSession(rpc.New(ours))
		s.register = rpc.Register{Instance: instance, Host: host}
		c.enterTaskManager(s)
	}
	for part, want := range map[string]string{
		"tm-aaxx": "tm-aaxx", "tm-a": "tm-aaxx", "zz": "tm-bczz", "a": "tm-aaxx", "tm-bb": "tm-bbyy",
		"b": api.BadRequest, "tm-b": api.BadRequest, "c": api.NotFound,
	} {
		s, err := c.find(part)
		refused, _ := errors.AsType[*api.Error](err)
		if refused != nil && refused.Code != want || refused == nil && s.register.Instance != want {
			t.Errorf("%q: %v, want %s", part, err, want)
		}
	}
}
