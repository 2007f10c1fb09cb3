package main

import (
	"fmt"
	"slices"
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

// TestFailoverRows: epochs of which there is no record are told, in one line however many they are, and a list that is out of order is shown.
func TestFailoverRows(t *testing.T) {
	rows := failoverRows([]client.Takeover{{Epoch: 2007, Jobs: 3, Unheard: 1, Previous: "jm-b", Reason: "it hung up"}, {Epoch: 7}, {Epoch: 5}, {Epoch: 4}, {}, {}, {Epoch: 9}})
	var got []string
	for _, row := range rows[1:] {
		got = append(got, fmt.Sprint(row[0], " ", row[len(row)-1]))
	}
	const none = " no record: replaced, or dead, before what ran was adopted"
	want := []string{"2007 jm-b: it hung up", "8-2006" + none, "7 ", "6" + none, "5 ", "4 ", "1-3" + none, "0 ", "0 ", "9 "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if rows[1][9] != "3 (1)" {
		t.Errorf("jobs: %v", rows[1][9])
	}
}
