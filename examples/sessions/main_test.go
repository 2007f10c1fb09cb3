package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/stream"
)

// TestSessions: whatever the order in which lines come, up to a minute late, the visits are those of the
// clicks in order.
func TestSessions(t *testing.T) {
	dir := t.TempDir()
	begin := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	var log []string
	want := map[string]int{} // a row of the output: how often
	for u := range 20 {
		user, at := fmt.Sprint("user", u), begin.Add(time.Duration(u)*time.Second)
		for range 5 {
			from, clicks := at, 1+rand.IntN(8)
			for i := range clicks {
				if i > 0 {
					at = at.Add(time.Duration(1+rand.IntN(29*60)) * time.Second)
				}
				log = append(log, at.Format(time.RFC3339)+" "+user)
			}
			want[fmt.Sprintf("%s,%s,%s,%d", user, from.Format(time.RFC3339), at.Format(time.RFC3339), clicks)]++
			at = at.Add(time.Duration(30*60+rand.IntN(3600)) * time.Second)
		}
	}
	slices.SortStableFunc(log, func(a, b string) int { return strings.Compare(a, b) })
	log = append(log, "nonsense")
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte(strings.Join(log, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := stream.Run(t.Context(), "sessions", []string{"--input", filepath.Join(dir, "log"), "--output", out, "-p", "2"}, build); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	parts, _ := filepath.Glob(filepath.Join(out, "part-*.csv"))
	for _, p := range parts {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			got[row]++
		}
	}
	for row := range want {
		if got[row] != want[row] {
			t.Errorf("visit %s comes %d times, want %d", row, got[row], want[row])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d visits, want %d", len(got), len(want))
	}
	rejected, _ := filepath.Glob(filepath.Join(out, "rejected", "part-*"))
	letters := ""
	for _, p := range rejected {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		letters += string(text)
	}
	if strings.Count(letters, "\n") != 1 || !strings.Contains(letters, "nonsense") {
		t.Errorf("dead letters: %q", letters)
	}
}

func TestBadGap(t *testing.T) {
	err := stream.Run(t.Context(), "sessions", []string{"--input", ".", "--output", t.TempDir(), "--gap", "soon"}, build)
	if err == nil || !strings.Contains(err.Error(), `--gap "soon"`) {
		t.Errorf("got %v", err)
	}
}
