package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		err := eachLine(p, func(line string) error {
			all = append(all, line)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, err
}

// eachLine reads a file, of any length of lines.
func eachLine(path string, do func(line string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			if err := do(strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// eachLogged is eachLine of a process's log, which is not there before its first start.
func eachLogged(path string, do func(line string) error) error {
	err := eachLine(path, do)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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
