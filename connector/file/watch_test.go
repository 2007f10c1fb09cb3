package file

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/operator"
)

// watched is a Watch that runs in the bubble of a test, and a directory.
type watched struct {
	t     *testing.T
	dir   string
	src   connector.Source[string]
	ctx   *connector.Context
	log   *bytes.Buffer
	state []byte
	lines []string // of all splits, read as they are found
	end   func() error
}

const everySecond = time.Second

func newWatched(t *testing.T, options ...Option) *watched {
	w := &watched{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	w.src = Watch(".", everySecond, options...)
	t.Cleanup(w.stop)
	return w
}

// begin discovers from the state on, as an attempt does.
func (w *watched) begin() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.ctx = operator.NewContext(ctx, operator.ContextConfig{Dir: w.dir, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	ended := make(chan error, 1)
	state := w.state
	go func() {
		ended <- w.src.(connector.Discovering).Discover(w.ctx, state, func(splits []connector.Split, state []byte) error {
			w.state = state
			for _, s := range splits {
				lines, err := readSplit(w.ctx, w.src, s, 7)
				if err != nil {
					return err
				}
				w.lines = append(w.lines, lines...)
			}
			return nil
		})
	}()
	w.end = func() error { cancel(); return <-ended }
}

// stop ends it; the next look goes on from the state.
func (w *watched) stop() {
	w.t.Helper()
	if w.end == nil {
		return
	}
	if err := w.end(); err != context.Canceled {
		w.t.Error(err)
	}
	w.end = nil
}

func (w *watched) write(name, text string) {
	w.t.Helper()
	writeFile(w.t, filepath.Join(w.dir, name), []byte(text))
}

// modified sets when a file was modified, in hours from a moment.
func (w *watched) modified(name string, hours int) {
	w.t.Helper()
	at := time.Unix(900_000_000, 0).Add(time.Duration(hours) * time.Hour)
	if err := os.Chtimes(filepath.Join(w.dir, name), at, at); err != nil {
		w.t.Fatal(err)
	}
}

// expect compares the lines that the next so many looks find.
func (w *watched) expect(when string, looks int, want ...string) {
	w.t.Helper()
	for range looks {
		if w.end == nil {
			w.begin() // and looks
		} else {
			<-time.After(everySecond)
		}
		synctest.Wait()
	}
	got := w.lines
	w.lines = nil
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func TestWatchFindsNewFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		w.write("b", "b1\nb2")
		w.write("a", "a1\n")
		w.write("sub/c", "c1\n")
		w.write(".hidden", "h\n")
		w.write("empty", "")
		w.expect("all there is, in order", 2, "a1", "b1", "b2", "c1")
		w.expect("nothing is read twice", 3)
		w.write("a", "a1\na2\n") // it was taken
		w.write("empty", "e1\n")
		w.write("aa", "aa1\n")
		w.expect("what came later", 2, "aa1", "e1")
	})
}

func TestWatchWaitsUntilAFileIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		w.expect("nothing yet", 1)
		for i := range 4 {
			w.write("growing", strings.Repeat("line\n", i+1))
			w.expect("while it grows", 1)
		}
		w.write("growing", "LINE\n") // of the size of its beginning, but modified
		w.modified("growing", 1)
		w.expect("while it changes", 1)
		w.expect("complete", 1, "LINE")
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, Atomic())
		w.expect("nothing yet", 1)
		w.write("a", "a1\n")
		w.expect("complete at once", 1, "a1")
	})
}

// TestWatchGoesOn: what was found before a failure is not found again, and all that came later is, though the files that
// were read are gone.
func TestWatchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, Atomic())
		w.write("a", "a1\n")
		w.write("b\xff", "b1\n") // not UTF-8
		w.expect("at first", 1, "a1", "b1")
		state := w.state
		w.write("c", "c1\n")
		w.expect("then", 1, "c1")
		os.Remove(filepath.Join(w.dir, "a"))
		w.write("d", "d1\n")
		w.state = state // the checkpoint is older than c
		w.stop()
		w.expect("after the failure", 1, "c1", "d1")
		w.write("a", "another\n")
		w.expect("a name is taken once", 2)
	})
}

// TestWatchTakesOnce: a file that was taken and has been touched since is not forgotten for its age of then; and one of
// the future does not make all others old.
func TestWatchTakesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, Atomic(), Forget(10*time.Hour))
		w.write("a", "a")
		w.modified("a", 0)
		w.expect("at first", 1, "a")
		w.write("a", "a again")
		w.modified("a", 15)
		w.expect("touched", 1)
		w.write("b", "b")
		w.modified("b", 20)
		w.expect("another", 1, "b")
		w.expect("the first is not read again", 2)
		w.write("future", "future")
		w.modified("future", 1_000_000)
		w.expect("of the future", 1, "future")
		w.write("now", "now") // by the machine's clock, which is beyond the bubble's too
		w.modified("now", 24_000)
		w.expect("of now", 1, "now")
	})
}

func TestWatchForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, Atomic(), Forget(10*time.Hour))
		for i := range 20 {
			name := fmt.Sprintf("%02d", i)
			w.write(name, name)
			w.modified(name, i)
		}
		w.lines = nil
		w.expect("at first all", 1, strings.Fields("00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19")...)
		known, err := decodeTaken(w.state)
		if err != nil || len(known.names) != 11 {
			t.Errorf("%d names are remembered, %v, want the 11 of the last ten hours", len(known.names), err)
		}
		w.write("late", "late")
		w.modified("late", 15)
		w.expect("late, but not too late", 1, "late")
		if w.log.Len() > 0 {
			t.Errorf("logged: %s", w.log)
		}
		w.write("too late", "too late")
		w.modified("too late", 1)
		w.expect("too late", 2)
		if n := strings.Count(w.log.String(), "too late"); n != 1 {
			t.Errorf("a file that is passed over is named %d times, want once: %s", n, w.log)
		}
		w.log.Reset()
		w.stop()
		w.expect("after a failure", 2)
		if w.log.Len() > 0 {
			t.Errorf("logged after a failure: %s", w.log)
		}
	})
}

// TestWatchedDirectoryGoesAway for a while: that ends nothing, and is said once.
func TestWatchedDirectoryGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t, Atomic())
		w.write("a", "a1\n")
		w.expect("at first", 1, "a1")
		away := w.dir + ".away"
		if err := os.Rename(w.dir, away); err != nil {
			t.Fatal(err)
		}
		w.expect("away", 3)
		if err := os.Rename(away, w.dir); err != nil {
			t.Fatal(err)
		}
		w.write("b", "b1\n")
		w.expect("back", 1, "b1")
		if said := w.log.String(); strings.Count(said, "cannot be read") != 1 || strings.Count(said, "again") != 2 {
			t.Errorf("logged: %s", said)
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		src  connector.Source[string]
		want string
	}{
		{Watch(dir, 0), "positive interval"},
		{Watch(dir, time.Second, Forget(-1)), "positive duration"},
		{Watch(dir, time.Second, SplitSize(-1)), "split size"},
		{Watch(filepath.Join(dir, "none"), time.Second), "there is no"},
		{Lines(dir, Atomic()), "file.Watch"},
	}
	for _, test := range tests {
		err := test.src.(connector.Checker).Check(newContext(dir))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "*.log")} {
		if err := Watch(path, time.Second).(connector.Checker).Check(newContext(dir)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzTaken(f *testing.F) {
	some := taken{names: map[string]int64{"/in/a": 1, "/in/b\xff": -7, "": 1 << 60}, before: -5}
	f.Add(some.encode())
	f.Add([]byte{})
	f.Add([]byte{takenVersion, 0, 200, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeTaken(data)
		if err != nil {
			return
		}
		again, err := decodeTaken(got.encode())
		if err != nil || again.before != got.before || len(again.names) != len(got.names) {
			t.Errorf("%v, then %v, %v", got, again, err)
		}
	})
}
