package chaos

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Lines are those of the visible files in a directory and aside of it, sorted.
func Lines(dir string) ([]string, error) {
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err == nil {
		var beside []string
		beside, err = filepath.Glob(filepath.Join(Aside(dir), "part-*"))
		parts = append(parts, beside...)
	}
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

// Compare counts the lines of want that got lacks, and those of got that want lacks; a line that
// stands twice counts twice. Both are sorted.
func Compare(want, got []string) (lost, duplicated int) {
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

// UnboundedLines are those that an unbounded job of so many records puts out, sorted.
func UnboundedLines(records int) []string {
	var want []string
	for i := range records {
		want = append(want, fmt.Sprintf(`{"Key":%d,"Value":%d}`, i%97, i/97+1))
	}
	slices.Sort(want)
	return want
}
