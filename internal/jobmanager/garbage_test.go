package jobmanager

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage"
)

// Names are unreferenced for a while, then removed, then unknown again; what is referred to or used is none of that.
func TestGarbageIsSorted(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	old, young := unreferenced{Since: noon.Add(-2 * time.Hour)}, unreferenced{Since: noon.Add(-time.Minute)}
	removing := unreferenced{Since: old.Since, Removing: true}
	for _, c := range []struct {
		name    string
		known   map[string]unreferenced
		stored  string // names
		refers  string
		used    time.Duration // of "a", ago; 0: not
		leading time.Duration
		want    map[string]unreferenced
	}{
		{"new", nil, "a", "", 0, 9 * time.Hour, map[string]unreferenced{"a": {Since: noon}}},
		{"referred to", map[string]unreferenced{"a": old}, "a", "a", 0, 9 * time.Hour, nil},
		{"just uploaded", map[string]unreferenced{"a": old}, "a", "", time.Minute, 9 * time.Hour, nil},
		{"used long ago", map[string]unreferenced{"a": old}, "a", "", 2 * time.Hour, 9 * time.Hour, map[string]unreferenced{"a": removing}},
		{"old", map[string]unreferenced{"a": old}, "a b", "b", 0, 9 * time.Hour, map[string]unreferenced{"a": removing}},
		{"young", map[string]unreferenced{"a": young}, "a", "", 0, 9 * time.Hour, map[string]unreferenced{"a": young}},
		{"used under another leader, perhaps", map[string]unreferenced{"a": old}, "a", "", 0, time.Minute, map[string]unreferenced{"a": old}},
		{"being removed, whatever refers to it", map[string]unreferenced{"a": removing}, "a", "a", time.Minute, time.Minute, map[string]unreferenced{"a": removing}},
		{"gone", map[string]unreferenced{"a": removing}, "", "", 0, time.Minute, nil},
	} {
		g := newGarbage(&leader{since: noon.Add(-c.leading)})
		g.names = c.known
		if c.used > 0 {
			g.used["a"] = noon.Add(-c.used)
		}
		refers := map[string]bool{}
		for _, name := range strings.Fields(c.refers) {
			refers[name] = true
		}
		if _, got := g.sort(strings.Fields(c.stored), refers, noon); !maps.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Binaries and plans that no job refers to are removed, by whoever leads then; meanwhile they are refused.
func TestUnreferencedIsRemoved(t *testing.T) {
	w := newWorld(t)
	a := w.start("jm-a")
	w.taskManager("tm-1", 2).start()
	w.leader()
	id := w.submit(a)
	w.await(id, job.Running)
	plan := a.leading.Load().jobs.find(id).written.Load().intent.GraphHash

	const binary = "another binary"
	hash := sha256.Sum256([]byte(binary))
	sum := hex.EncodeToString(hash[:])
	if err := a.PutArtifact(t.Context(), sum, strings.NewReader(binary)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.storage.PutGraph(t.Context(), &job.Graph{Name: "of no job"}); err != nil {
		t.Fatal(err)
	}
	stored := func() []string {
		list, err := w.storage.ListShared(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if n := len(stored()); n != 4 {
		t.Fatalf("stored: %q", stored())
	}
	// The look is taken by the test alone: keepHouse's first is far away.
	look := func(n *node, grace time.Duration) {
		t.Helper()
		g := n.leading.Load().garbage
		g.grace = grace
		if err := g.collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look(a, time.Hour)
	look(a, time.Hour)
	if n := len(stored()); n != 4 {
		t.Fatalf("what is young was removed: %q", stored())
	}
	look(a, 0) // the upload is long ago
	a.kill()
	b := w.start("jm-b")
	w.leader(a)
	look(b, 0)
	if got, want := stored(), []string{storage.ArtifactName(w.artifact), storage.GraphName(plan)}; !slices.Equal(got, want) {
		t.Fatalf("stored: %q, want %q", got, want)
	}
	if err := b.PutArtifact(t.Context(), sum, strings.NewReader(binary)); code(err) != api.Unavailable || !strings.Contains(fmt.Sprint(err), "can be stored again") {
		t.Errorf("an upload of what is being removed: %v", err)
	}
	look(b, 0)
	if err := b.PutArtifact(t.Context(), sum, strings.NewReader(binary)); err != nil {
		t.Error("an upload after that: ", err)
	}
	spec := w.spec()
	spec.Artifact = sum
	if _, err := b.Submit(t.Context(), spec); err != nil {
		t.Error(err)
	}
	look(b, 0)
	look(b, 0)
	if has, err := b.HasArtifact(t.Context(), sum); !has || err != nil {
		t.Errorf("the binary of a job that waits for slots was removed: %v", err)
	}
}
