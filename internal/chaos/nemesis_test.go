package chaos

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
)

// Two who have led under one epoch are found (I1), in logs and in the history; one that leads again under its own is none.
func TestEpochs(t *testing.T) {
	over := func(leader, epoch string) string {
		return `time=T level=INFO msg="took over" jobmanager=` + leader + ` epoch=` + epoch + ` cause=first reason="r"` + "\n"
	}
	kept := func(epoch coordination.Epoch, leader string) client.Takeover {
		return client.Takeover{Epoch: epoch, Leader: leader}
	}
	for name, c := range map[string]struct {
		logs   []string
		kept   []client.Takeover
		epochs int
		wrong  int
	}{
		"in turn":                    {[]string{over("a", "1") + over("a", "3"), over("b", "2")}, []client.Takeover{kept(3, "a"), kept(2, "b")}, 3, 0},
		"its own once more":          {[]string{over("a", "1") + over("a", "1")}, nil, 1, 0},
		"two processes":              {[]string{over("a", "7"), over("b", "7")}, nil, 1, 1},
		"two runs of one process":    {[]string{over("a", "7") + over("b", "7")}, nil, 1, 1},
		"the number is another part": {[]string{over("a", "7"), over("b", "77")}, nil, 2, 0},
		"the history knows another":  {[]string{over("a", "7")}, []client.Takeover{kept(7, "b")}, 1, 1},
		"the history goes back":      {nil, []client.Takeover{kept(7, "b"), kept(8, "c")}, 2, 1},
	} {
		all, wrong := terms{}, []string{}
		for _, text := range c.logs {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			twice, err := all.readLog(path)
			if err != nil {
				t.Fatal(err)
			}
			wrong = append(wrong, twice...)
		}
		wrong = append(wrong, all.readHistory(c.kept)...)
		if len(all) != c.epochs || len(wrong) != c.wrong {
			t.Errorf("%s: %v, %q", name, all, wrong)
		}
	}
}

// A plan that cannot be carried out is refused, and told why.
func TestPlans(t *testing.T) {
	here := &Site{Kind: Kind{Coordination: "embedded"}}
	for _, c := range []struct {
		plan Plan
		want string // part of the refusal; "": it is none
	}{
		{Plan{}, ""},
		{Plan{Faults: []string{"leader killed"}, Gentle: true}, ""},
		{Plan{Faults: []string{"leader kiled"}}, "there is no fault"},
		{Plan{Faults: []string{"leader cut from standbys"}}, "/hosts has one"},
		{Plan{Faults: []string{"network slow"}}, "/proxies has some"},
		{Plan{Faults: []string{"ZooKeeper slow"}}, "it has no ZooKeeper"},
		{Plan{Faults: []string{"clock jumps"}}, "the machine's clock"},
		{Plan{Faults: []string{"storage full"}}, "no small file system"},
		{Plan{Faults: []string{"TaskManager killed"}, Gentle: true}, "no task notices"},
	} {
		err := c.plan.Check(here)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.plan, err)
		}
	}
	for _, text := range []string{"", "etcd", "zookeeper/", "zookeeper/moon", "/hosts"} {
		if k, err := ParseKind(text); err == nil {
			t.Errorf("%q is %v", text, k)
		}
	}
}

// In a gentle round none is drawn that a task may notice.
func TestDrawn(t *testing.T) {
	here := &Site{Kind: Kind{Coordination: "embedded"}}
	all, gentle := (Plan{}).drawn(here, false), (Plan{}).drawn(here, true)
	if len(gentle) == 0 || len(gentle) >= len(all) {
		t.Errorf("%d of %d are gentle", len(gentle), len(all))
	}
	for _, f := range gentle {
		if !f.gentle {
			t.Errorf("%s is not", f.name)
		}
	}
}

// The table has a line for each fault that was done, and one for each invariant, with what broke it.
func TestTable(t *testing.T) {
	total := NewTotal()
	r := Result{Faults: Tally{}, Kills: 2, Violations: []Violation{{"I6", "subtask 3 is another"}}}
	for _, took := range []time.Duration{time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond} {
		r.Faults.add(processFaults[4], took)
	}
	total.Add(Kind{"zookeeper", "hosts"}, r)
	var b strings.Builder
	if err := total.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"leader killed 1 3 2.0 ms 3.0 ms", "zookeeper/hosts 1", "processes killed 2", "no epoch has two leaders 0", "coordination and clocks 1", "I6: subtask 3 is another"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// Attempts of a subtask that took records at the same time are found.
func TestOverlapping(t *testing.T) {
	dir := t.TempDir()
	for name, span := range map[string][2]uint64{"0-1": {10, 20}, "0-2": {21, 30}, "1-1": {10, 21}, "1-3": {21, 30}, "2-2": {5, 6}, "2-1": {7, 8}} {
		text := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, span[0]), span[1])
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "0-3"), nil, 0o644); err != nil { // it took none
		t.Fatal(err)
	}
	wrong, err := overlapping(dir)
	if err != nil || len(wrong) != 2 || !strings.Contains(wrong[0]+wrong[1], "subtask 1: attempt 1 took a record 0s after attempt 3") {
		t.Errorf("%q, %v", wrong, err)
	}
}
