package diagnose

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/inspect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files is logs that are files of a directory.
func files(t *testing.T, dir string) func(context.Context) ([]Log, error) {
	return func(context.Context) (logs []Log, err error) {
		names, err := filepath.Glob(dir + "/*")
		for _, name := range names {
			logs = append(logs, Log{Title: filepath.Base(name), Attempt: filepath.Base(name) != "process", Ask: func(_ context.Context, q inspect.Question) (inspect.Piece, error) {
				f, err := os.Open(name)
				if err != nil {
					return inspect.Piece{}, err
				}
				defer f.Close()
				return inspect.Read(f, q)
			}})
		}
		return logs, err
	}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestLogs(t *testing.T) {
	long := strings.Repeat("a line that is part of more than one piece\n", 3*inspect.MaxPiece/40)
	for name, test := range map[string]struct {
		files map[string]string
		lines int
		want  string
	}{
		"the last lines":   {map[string]string{"a": "1\n2\n3\n"}, 2, "2\n3\n"},
		"none":             {map[string]string{"a": "1\n2\n"}, 0, ""},
		"several":          {map[string]string{"a": "1\n2", "b": "x\n", "empty": ""}, 1, "==> a <==\n2\n\n==> b <==\nx\n"},
		"all of it":        {map[string]string{"a": long}, -1, long},
		"more than a tail": {map[string]string{"a": long}, 1 << 20, long},
	} {
		dir := t.TempDir()
		for f, text := range test.files {
			put(t, dir, f, text)
		}
		var out strings.Builder
		if err := (Reading{Find: files(t, dir), Lines: test.lines}).Run(t.Context(), &out); err != nil || out.String() != test.want {
			t.Errorf("%s: %v, %d bytes, want %d", name, err, out.Len(), len(test.want))
		}
	}
}

// TestOneFails: what the others have is shown all the same.
func TestOneFails(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "1\n")
	put(t, dir, "c", "3\n")
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := Reading{Find: files(t, dir), Lines: 1}.Run(t.Context(), &out)
	if want := "==> a <==\n1\n\n==> c <==\n3\n"; err == nil || !strings.HasPrefix(err.Error(), "b: ") || out.String() != want {
		t.Errorf("%v, %q, want %q", err, &out, want)
	}
}

// TestFollow: what comes is written once, logs of attempts that come are read from their beginning, one that becomes shorter is
// too, of a process's the end is, and trouble passes.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "1\n2\n")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out, troubles strings.Builder
		var away atomic.Bool
		find := files(t, dir)
		done := make(chan error)
		go func() {
			done <- Reading{Follow: true, Lines: 1, Trouble: func(_ string, err error) { troubles.WriteString(err.Error()) },
				Find: func(ctx context.Context) ([]Log, error) {
					if away.Load() {
						return nil, errors.New("nobody answers")
					}
					return find(ctx)
				}}.Run(ctx, &out)
		}()
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if out.String() != want {
				t.Errorf("%q, want %q", out.String(), want)
			}
		}
		round := func() { <-time.After(2 * followEvery) }
		expect("2\n")
		put(t, dir, "a", "3\n")
		round()
		expect("2\n3\n")
		away.Store(true)
		put(t, dir, "a", "4\n")
		round()
		round()
		away.Store(false)
		round()
		expect("2\n3\n4\n")
		put(t, dir, "b", "x\ny\n")
		round()
		expect("2\n3\n4\n\n==> b <==\nx\ny\n")
		if err := os.Truncate(filepath.Join(dir, "b"), 0); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "b", "z\n")
		round()
		expect("2\n3\n4\n\n==> b <==\nx\ny\nz\n")
		put(t, dir, "process", "of before\nof now\n")
		round()
		expect("2\n3\n4\n\n==> b <==\nx\ny\nz\n\n==> process <==\nof now\n")
		cancel()
		if err := <-done; err != nil || troubles.String() != "nobody answers" {
			t.Errorf("%v, troubles %q", err, &troubles)
		}
	})
}
