package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/chaos"
)

// What cannot be carried out is refused before anything is started, with the reason.
func TestParse(t *testing.T) {
	for _, c := range []struct{ args, want string }{ // part of the refusal; "": it is none
		{"", ""},
		{"-on|zookeeper/hosts|-faults|leader's host dead, leader killed", ""},
		{"-minutes|0.01|-isolated|pause", ""},
		{"-minutes|0", "-minutes 0"},
		{"-minutes|NaN", "-minutes NaN"},
		{"-minutes|+Inf", "-minutes +Inf"},
		{"-minutes|soon", "soon"},
		{"-seed|-1", "-seed -1"},
		{"-isolated|perhaps", "expected run or pause"},
		{"-on|", "expected zookeeper or embedded"},
		{"-on|zookeeper/moon", "zookeeper/moon"},
		{"-faults|leader kiled", "there is no fault"},
		{"-faults|leader's host dead", "cannot be done on zookeeper/proxies"}, // the third of the default sites
		{"-gentle|-faults|TaskManager killed", "no task notices"},
		{"leader killed", "only flags"},
	} {
		var args []string
		if c.args != "" {
			args = strings.Split(c.args, "|")
		}
		_, err := parse(args)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// The command that is printed for a round comes to the same round, through a shell and make.
func TestAgain(t *testing.T) {
	o := options{seed: 17, faults: "leader's host dead, TaskManager cut off", isolated: "pause"}
	line := o.again(chaos.Kind{Coordination: "zookeeper", Network: "hosts"})
	sh := exec.Command("sh", "-c", line+" --dry-run --silent")
	sh.Dir = "../../.."
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	_, command, found := strings.Cut(string(out), "bin/chaos -seed")
	if !found {
		t.Fatalf("%s: no call in\n%s", line, out)
	}
	words, err := exec.Command("sh", "-c", "printf '%s|' -seed"+command).Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	again, err := parse(strings.Split(strings.TrimSuffix(string(words), "|"), "|"))
	if err != nil || again.seed != o.seed || again.faults != o.faults || again.isolated != o.isolated || again.on != "zookeeper/hosts" {
		t.Errorf("%s: %+v, %v", line, again, err)
	}
}
