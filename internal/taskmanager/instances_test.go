package taskmanager

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestInstances(t *testing.T) {
	path := filepath.Join(t.TempDir(), "instances")
	for i := range keepInstances + 2 {
		s := openInstances(path, "here")
		before, err := s.enter(fmt.Sprintf("tm-%d", i))
		if err != nil || len(before) != min(i, keepInstances) {
			t.Fatalf("before instance %d: %+v, %v", i, before, err)
		}
		if i%2 == 0 {
			err = s.leave(fmt.Sprintf("tm-%d", i))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range openInstances(path, "here").list {
		if want := i + 2; p.Instance != fmt.Sprintf("tm-%d", want) || p.Left != (want%2 == 0) {
			t.Errorf("instance %d is %+v", want, p)
		}
	}
	if err := os.WriteFile(path, []byte("half of a li"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := openInstances(path, "here"); len(s.list) != 0 {
		t.Errorf("of a damaged file: %+v", s.list)
	}
}

// TestInstancesOfAnotherHost: with a work directory that another host had, as on a volume that was moved, or with one of a boot before, it
// is known only of those that ended in order that nothing of them runs.
func TestInstancesOfAnotherHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "instances")
	begin := func(instance, boot string, gone ...string) *instances {
		t.Helper()
		s := openInstances(path, boot)
		before, err := s.enter(instance)
		var names []string
		for _, p := range before {
			names = append(names, p.Instance)
		}
		if err != nil || !slices.Equal(names, gone) {
			t.Errorf("before %s, on %q, are gone %v, want %v (%v)", instance, boot, names, gone, err)
		}
		return &s
	}
	begin("1", "a")
	begin("2", "b")
	s := begin("3", "a", "1")
	if err := s.leave("3"); err != nil {
		t.Fatal(err)
	}
	begin("4", "b", "2", "3")
	begin("5", "", "3")
	begin("6", "", "3")
}

// FuzzInstances: whatever the file holds, an instance can be entered, is remembered as the last, and stands at no predecessor's place.
func FuzzInstances(f *testing.F) {
	f.Add([]byte(`[{"instance":"tm-a","boot":"here"},{"instance":"tm-b","left":true}]`))
	f.Add([]byte(`[{"instance":"tm-a"`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "instances")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openInstances(path, "here")
		known := len(s.list)
		before, err := s.enter("tm-new")
		if err != nil || len(before) > known {
			t.Fatalf("%d predecessors of %d: %v", len(before), known, err)
		}
		list := openInstances(path, "here").list
		if want := min(known+1, keepInstances); len(list) != want || list[want-1].Instance != "tm-new" {
			t.Errorf("of %d there are %d, want %d, the last %+v", known, len(list), want, list)
		}
	})
}
