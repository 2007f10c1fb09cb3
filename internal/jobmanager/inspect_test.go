package jobmanager

import (
	"errors"
	"net"
	"testing"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

// TestInspections: each answer reaches who asked, once, and questions are bounded.
func TestInspections(t *testing.T) {
	var i inspections
	first, firstAnswer, _ := i.begin()
	second, secondAnswer, _ := i.begin()
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
	for range maxInspections {
		if _, _, ok := i.begin(); !ok {
			t.Fatal("there is no room")
		}
	}
	if _, _, ok := i.begin(); ok {
		t.Errorf("more than %d questions wait", maxInspections)
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
