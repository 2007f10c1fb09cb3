package main

import (
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
)

// TestFailovers: as scripts and people see them.
func TestFailovers(t *testing.T) {
	var list []any
	decoded(t, &list, "failovers", "--json")
	if len(list) == 0 {
		t.Fatal("the cluster's first leader is not listed")
	}
	has(t, "failovers[0]", list[0], map[string]string{
		"epoch": aNumber, "at": aText, "leader": aText, "rest": aText, "cause": aText, "reason": aText, "claimMillis": aNumber, "readMillis": aNumber,
		"askedMillis": aNumber, "adoptedMillis": aNumber, "servingMillis": aNumber, "jobs": aNumber, "subtasks": aNumber, "redeployed": aNumber, "unheard": aNumber,
	})
	r := asked(t, "failovers")
	r.expect(t, 0)
	for _, want := range []string{"EPOCH ", "CAUSE ", "first ", " ms "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("failovers does not show %q:\n%s", want, r.stdout)
		}
	}
}

// TestFailoverRows: epochs that nobody served are told.
func TestFailoverRows(t *testing.T) {
	rows := failoverRows([]client.Takeover{{Epoch: 7, Jobs: 3, Unheard: 1, Previous: "jm-b", Reason: "it hung up"}, {Epoch: 4}})
	var got []any
	for _, row := range rows[1:] {
		got = append(got, row[0], row[len(row)-1])
	}
	want := []any{client.Takeover{Epoch: 7}.Epoch, "jm-b: it hung up", client.Takeover{Epoch: 6}.Epoch, "its leader was replaced before it served",
		client.Takeover{Epoch: 5}.Epoch, "its leader was replaced before it served", client.Takeover{Epoch: 4}.Epoch, ""}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if rows[1][9] != "3 (1)" {
		t.Errorf("jobs: %v", rows[1][9])
	}
}
