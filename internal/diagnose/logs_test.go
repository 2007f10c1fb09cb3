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
		if err := <-done; err != nil || troubles.String() != "nobody answers"+"it has begun anew, and is shown from its beginning; what was written last to the one before, after 4 bytes, is not shown" {
			t.Errorf("%v, troubles %q", err, &troubles)
		}
	})
}

// fixed is a log of one piece, or one that cannot be read.
func fixed(title, text string, err error) Log {
	return Log{Title: title, Ask: func(_ context.Context, q inspect.Question) (inspect.Piece, error) {
		from := max(q.Offset, 0)
		if q.Offset < 0 {
			from = int64(strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n') + 1)
		}
		return inspect.Piece{Data: []byte(text[from:]), Offset: from, Size: int64(len(text))}, err
	}}
}

// TestLogsThatAreMissing: the others are shown, and who did not answer is named.
func TestLogsThatAreMissing(t *testing.T) {
	var out strings.Builder
	r := Reading{Lines: -1, Find: func(context.Context) ([]Log, error) {
		return []Log{fixed("a", "", errors.New("it hangs")), fixed("b", "x\n", nil), fixed("c", "", errors.New("it is away"))}, errors.New("tm-9 is not connected")
	}}
	err := r.Run(t.Context(), &out)
	if want := "tm-9 is not connected\na: it hangs\nc: it is away"; err == nil || err.Error() != want || out.String() != "==> b <==\nx\n" {
		t.Errorf("%v and %q, want %q", err, out.String(), want)
	}
	r.Follow, r.Find = true, func(context.Context) ([]Log, error) { return []Log{fixed("a", "", errors.New("it hangs"))}, nil }
	if err := r.Run(t.Context(), &out); err == nil || err.Error() != "a: it hangs" {
		t.Errorf("nothing could be read at first, and it says %v", err)
	}
}

// TestFollowTroubled: what cannot be read at first is told, and its end is shown once it can; what was written last to a log that
// is followed by another, such as the reason of a restart, is shown.
func TestFollowTroubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out, troubles strings.Builder
		text, round := "1\n2\n", 0
		b := Log{Title: "b", Ask: func(ctx context.Context, q inspect.Question) (inspect.Piece, error) {
			return fixed("b", text, nil).Ask(ctx, q)
		}}
		find := func(context.Context) ([]Log, error) {
			switch round++; round {
			case 1:
				return []Log{fixed("a", "", errors.New("it hangs")), b}, nil
			case 2:
				return []Log{fixed("a", "x\ny\n", nil), b}, nil
			}
			text = "1\n2\nlast words\n"
			return []Log{fixed("a", "x\ny\n", nil), fixed("next", "0\n", nil)}, nil
		}
		done := make(chan error)
		go func() {
			done <- Reading{Find: find, Lines: 1, Follow: true, Trouble: func(title string, err error) { troubles.WriteString(title + ": " + err.Error()) }}.Run(ctx, &out)
		}()
		<-time.After(5 * followEvery)
		cancel()
		if err := <-done; err != nil || troubles.String() != "a: it hangs" {
			t.Errorf("%v, troubles %q", err, &troubles)
		}
		if want := "==> b <==\n2\n\n==> a <==\ny\n\n==> b <==\nlast words\n\n==> next <==\n0\n"; out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}
