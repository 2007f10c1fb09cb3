package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/perennial-io/perennial/internal/job"
)

func TestNames(t *testing.T) {
	n := Name{Subtask: 3, Attempt: 2, Ext: "csv", Job: "0a1b2c3d", Sink: SinkHash("out")}
	if got, want := n.Visible(), "part-00003-2.csv"; got != want {
		t.Errorf("Visible() = %q, want %q", got, want)
	}
	if got, want := n.Hidden(), ".part-00003-2.csv.inprogress-0a1b2c3d-ab1a365f"; got != want {
		t.Errorf("Hidden() = %q, want %q", got, want)
	}
	if got, ok := ParseHidden(n.Hidden()); !ok || got != n {
		t.Errorf("ParseHidden(Hidden()) = %v, %v, want %v", got, ok, n)
	}
	n.Sequence = 12
	if got, want := n.Visible(), "part-00003-2-12.csv"; got != want {
		t.Errorf("Visible() = %q, want %q", got, want)
	}
	if got, ok := ParseHidden(n.Hidden()); !ok || got != n {
		t.Errorf("ParseHidden(Hidden()) = %v, %v, want %v", got, ok, n)
	}
	for _, name := range []string{
		"part-3-2.csv", "part-00003-02.csv", "part-00003-2-0.csv", "part-00003-2-01.csv", "part-00003-2-.csv",
		"part-00003-2-1-1.csv", "part-00003-2--1.csv", "part-00003-+2.csv", "part-00003-2-99999999999.csv", "part-00003-2-1.",
	} {
		if got, ok := ParseVisible(name); ok {
			t.Errorf("ParseVisible(%q) = %v, true, want false", name, got)
		}
	}
	for _, name := range []string{
		"", ".", "part-00003-2.csv", ".part-00003-2.csv", ".part-00003-2.csv.inprogress-", ".part-00003-2.csv.inprogress-0a1b2c3d",
		".part-x-2.csv.inprogress-0a1b2c3d-811c9dc5", ".part-00003.csv.inprogress-0a1b2c3d-811c9dc5",
		".part-00003-2.inprogress-0a1b2c3d-811c9dc5", ".part--1-2.csv.inprogress-0a1b2c3d-811c9dc5",
	} {
		if got, ok := ParseHidden(name); ok {
			t.Errorf("ParseHidden(%q) = %v, true, want false", name, got)
		}
	}
}

// A name that is taken for a part's is the one that the part has.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"part-00003-2.csv", "part-123456-2-7.a.b", "part-00003-2-0.csv", ".part-00003-2-1.csv.inprogress-0a1b2c3d"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if n, ok := ParseVisible(name); ok && n.Visible() != name {
			t.Errorf("ParseVisible(%q) = %v, which is called %q", name, n, n.Visible())
		}
		if n, ok := ParseHidden(name); ok && n.Hidden() != name {
			t.Errorf("ParseHidden(%q) = %v, which is called %q", name, n, n.Hidden())
		}
	})
}

// file is a path relative to the test's directory and its content.
type files map[string]string

func TestPublish(t *testing.T) {
	tests := []struct {
		name    string
		before  files
		outputs []string // x stands for .x -> x
		after   files
		err     error
	}{
		{"nothing", files{}, nil, files{}, nil},
		{"all written", files{".a": "1", ".b": "2"}, []string{"a", "b"}, files{"a": "1", "b": "2"}, nil},
		{"one visible already", files{"a": "1", ".b": "2"}, []string{"a", "b"}, files{"a": "1", "b": "2"}, nil},
		{"all visible already", files{"a": "1", "b": "2"}, []string{"a", "b"}, files{"a": "1", "b": "2"}, nil},
		{"two directories", files{"d/.a": "1", "e/.a": "2"}, []string{"d/a", "e/a"}, files{"d/a": "1", "e/a": "2"}, nil},
		{"others stay", files{".a": "1", ".c": "3"}, []string{"a"}, files{"a": "1", ".c": "3"}, nil},
		{"last lost: nothing becomes visible", files{".a": "1"}, []string{"a", "b"}, files{".a": "1"}, ErrLost},
		{"last taken: nothing becomes visible", files{".a": "1", ".b": "2", "b": "other"}, []string{"a", "b"},
			files{".a": "1", ".b": "2", "b": "other"}, ErrTaken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, test.before)
			outputs := outputsIn(dir, test.outputs)
			for range 2 { // a repetition changes neither the result nor the files
				if err := Publish(outputs); !errors.Is(err, test.err) {
					t.Fatalf("Publish() = %v, want %v", err, test.err)
				}
				compare(t, dir, test.after)
			}
		})
	}
}

func TestPublishRefusesStrangePaths(t *testing.T) {
	for _, o := range []job.Output{
		{Temp: "a", Final: "b"}, {Temp: "/x/.a", Final: "/y/a"}, {Temp: "/x/a", Final: "/x/a"}, {},
	} {
		if err := Publish([]job.Output{o}); err == nil || !strings.Contains(err.Error(), "absolute paths in one directory") {
			t.Errorf("Publish(%v) = %v, want a refusal", o, err)
		}
	}
}

// A publisher that dies after any number of renames leaves what the next one completes.
func TestPublishAfterCrash(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	for renamed := range len(names) + 1 {
		dir := t.TempDir()
		write(t, dir, files{".a": "1", ".b": "2", ".c": "3", ".d": "4"})
		outputs := outputsIn(dir, names)
		for _, o := range outputs[:renamed] {
			if err := os.Rename(o.Temp, o.Final); err != nil {
				t.Fatal(err)
			}
		}
		if err := Publish(outputs); err != nil {
			t.Fatalf("after %d renames: %v", renamed, err)
		}
		compare(t, dir, files{"a": "1", "b": "2", "c": "3", "d": "4"})
	}
}

// An old leader, woken in the middle of the renames, and its successor end alike.
func TestPublishByTwoAtOnce(t *testing.T) {
	for range 50 {
		dir := t.TempDir()
		before, after, names := files{}, files{}, []string{}
		for c := 'a'; c <= 'p'; c++ {
			names = append(names, string(c))
			before["."+string(c)], after[string(c)] = string(c), string(c)
		}
		write(t, dir, before)
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for i := range errs {
			wg.Go(func() { errs[i] = Publish(outputsIn(dir, names)) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		compare(t, dir, after)
	}
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, files{".a": "1", "b": "2", ".c": "3"})
	for range 2 {
		if err := Discard(outputsIn(dir, []string{"a", "b"})); err != nil {
			t.Fatal(err)
		}
		compare(t, dir, files{"b": "2", ".c": "3"})
	}
}

func outputsIn(dir string, names []string) []job.Output {
	var outputs []job.Output
	for _, name := range names {
		d, base := filepath.Split(name)
		outputs = append(outputs, job.Output{Temp: filepath.Join(dir, d, "."+base), Final: filepath.Join(dir, name)})
	}
	return outputs
}

func write(t *testing.T, dir string, fs files) {
	t.Helper()
	for name, content := range fs {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func compare(t *testing.T, dir string, want files) {
	t.Helper()
	got := files{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		got[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("files: %v, want %v", got, want)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s holds %q, want %q (all: %v)", name, got[name], content, got)
		}
	}
}
