package storage

import "testing"

// The highest epoch counts, whoever is late, and no others stay.
func TestServed(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ put, want uint64 }{{0, 0}, {7, 7}, {10, 10}, {9, 10}, {10, 10}, {11, 11}} {
		if c.put > 0 {
			if err := s.PutServed(t.Context(), c.put); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Served(t.Context()); err != nil || got != c.want {
			t.Errorf("after %d: %d, %v, want %d", c.put, got, err, c.want)
		}
	}
	if left, err := s.served(t.Context()); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}
}
