package taskmanager

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestInstances(t *testing.T) {
	path := filepath.Join(t.TempDir(), "instances")
	for i := range keepInstances + 2 {
		s := openInstances(path)
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
	for i, p := range openInstances(path).list {
		if want := i + 2; p.Instance != fmt.Sprintf("tm-%d", want) || p.Left != (want%2 == 0) {
			t.Errorf("instance %d is %+v", want, p)
		}
	}
	if err := os.WriteFile(path, []byte("half of a li"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := openInstances(path); len(s.list) != 0 {
		t.Errorf("of a damaged file: %+v", s.list)
	}
}
