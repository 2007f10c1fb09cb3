package chaos

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
)

// lines are those of the visible files in a directory, sorted.
func lines(dir string) ([]string, error) {
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	var all []string
	for _, p := range parts {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		s := bufio.NewScanner(f)
		for s.Scan() {
			all = append(all, s.Text())
		}
		f.Close()
		if err := s.Err(); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, err
}

// compare counts the lines of want that got lacks, and those of got that want lacks; a line that
// stands twice counts twice. Both are sorted.
func compare(want, got []string) (lost, duplicated int) {
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			lost, want = lost+1, want[1:]
		case len(want) == 0 || got[0] < want[0]:
			duplicated, got = duplicated+1, got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return lost, duplicated
}
