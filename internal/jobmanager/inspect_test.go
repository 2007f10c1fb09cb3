package jobmanager

import (
	"context"
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
	i := newInspections()
	first, firstAnswer, _ := i.begin(t.Context())
	second, secondAnswer, _ := i.begin(t.Context())
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
	for range maxInspections - 1 { // the second has not ended
		if _, _, err := i.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := i.begin(over); err == nil {
		t.Errorf("more than %d questions wait", maxInspections)
	}
}

// All TaskManagers of a cluster are asked, however many they are.
func TestProbeOfManyTaskManagers(t *testing.T) {
	w := newWorld(t)
	n := w.start("jm-a")
	const many = maxInspections + 8
	for i := range many {
		w.taskManager(fmt.Sprintf("tm-%02d", i), 1).start()
	}
	w.leader()
	w.eventually("registered", func() bool { c, err := n.Cluster(t.Context()); return err == nil && c.TaskManagers == many })
	list, err := n.ProbeTaskManagers(t.Context(), inspect.Probe{})
	if err != nil || len(list) != many {
		t.Fatal(len(list), err)
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
