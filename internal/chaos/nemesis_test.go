package chaos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two who have led under one epoch are found (I1), be they runs of one process; one that leads again under its own is none.
func TestEpochs(t *testing.T) {
	const up, led = `time=T level=INFO msg="JobManager is up" jobmanager=jm-a rpc=x` + "\n", `time=T level=INFO msg="took over" jobmanager=jm-a epoch=EPOCH reason="r"` + "\n"
	over := func(epoch string) string { return strings.ReplaceAll(led, "EPOCH", epoch) }
	for name, c := range map[string]struct {
		logs   []string
		epochs int
		twice  int
	}{
		"in turn":                    {[]string{up + over("1") + over("3"), up + over("2")}, 3, 0},
		"its own once more":          {[]string{up + over("1") + over("1"), up}, 1, 0},
		"two processes":              {[]string{up + over("7"), up + over("7")}, 1, 1},
		"two runs of one process":    {[]string{up + over("7") + up + over("7")}, 1, 1},
		"one log that is not there":  {[]string{up + over("7"), ""}, 1, 0},
		"the number is another part": {[]string{up + over("7"), up + over("77")}, 2, 0},
	} {
		logs := map[string]string{}
		for i, text := range c.logs {
			path := filepath.Join(t.TempDir(), "log")
			logs[string(rune('a'+i))] = path
			if text == "" {
				continue
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		n, twice, err := epochsOf(logs)
		if err != nil || n != c.epochs || len(twice) != c.twice {
			t.Errorf("%s: %d epochs, %q, %v", name, n, twice, err)
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

// A seed draws the same faults each time, and in a gentle round none that a task may notice.
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
