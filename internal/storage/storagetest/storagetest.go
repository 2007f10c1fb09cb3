// Package storagetest is the suite that every place of objects passes: what objects.Store promises, as
// tests. It needs nothing of a place but an empty one.
//
// It never looks behind the contract. What a place does beyond it, such as what it says of a server that is
// not there, is tested beside that place.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perennial-io/perennial/internal/storage/objects"
)

// Large is the size in bytes of the objects that are to be written in several parts, where a place
// does that.
const Large = 11<<20 + 17

// Run runs the suite. open returns an empty place, of the test.
func Run(t *testing.T, open func(t *testing.T) objects.Store) {
	for name, test := range map[string]func(*testing.T, objects.Store){
		"an object is stored once":        storedOnce,
		"a race has one winner":           race,
		"a race of large objects":         raceOfLarge,
		"large objects":                   large,
		"it is whole or not there":        wholeOrNot,
		"a writer that fails":             failingWriter,
		"ctx ends while writing":          endedWriting,
		"ctx ends while reading":          endedReading,
		"ctx has ended":                   endedBefore,
		"listing":                         listing,
		"listing many":                    listingMany,
		"deleting":                        deleting,
		"deleting all":                    deletingAll,
		"names that lead elsewhere":       names,
		"what is larger than is expected": tooLarge,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t)) })
	}
}

// content is pseudo-random, so that a part in the wrong place shows.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // it is no secret
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func create(t *testing.T, s objects.Store, name string, b []byte) {
	t.Helper()
	if created, err := s.Create(t.Context(), name, objects.Write(b)); err != nil || !created {
		t.Fatalf("create %s: %v, %v", name, created, err)
	}
}

// holds fails the test unless name has exactly this content.
func holds(t *testing.T, s objects.Store, name string, want []byte) {
	t.Helper()
	r, size, err := s.Open(t.Context(), name)
	if err != nil {
		t.Errorf("open %s: %v", name, err)
		return
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || size != int64(len(want)) || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes were announced, %d came, %d are right; %v", name, size, len(got), len(want), err)
	}
}

// absent fails the test unless there is nothing of this name, to be opened or listed.
func absent(t *testing.T, s objects.Store, name string) {
	t.Helper()
	if r, _, err := s.Open(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open %s: %v, want fs.ErrNotExist", name, err)
		if err == nil {
			r.Close()
		}
	}
	if list, err := s.List(t.Context(), ""); err != nil || slices.Contains(list, name) {
		t.Errorf("list: %v, %v; want no %s", list, err, name)
	}
}

func lists(t *testing.T, s objects.Store, dir string, want ...string) {
	t.Helper()
	if got, err := s.List(t.Context(), dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("list %q: %q, %v; want %q", dir, got, err, want)
	}
}

func storedOnce(t *testing.T, s objects.Store) {
	for name, b := range map[string][]byte{"a": []byte("first"), "empty": nil, "deep/down/a": []byte("deep"), "deep/a": []byte("half-way")} {
		absent(t, s, name)
		create(t, s, name, b)
		holds(t, s, name, b)
		if created, err := s.Create(t.Context(), name, objects.Write([]byte("second"))); err != nil || created {
			t.Errorf("%s, again: %v, %v", name, created, err)
		}
		holds(t, s, name, b)
	}
}

func race(t *testing.T, s objects.Store) { raceOf(t, s, 32, 100) }

func raceOfLarge(t *testing.T, s objects.Store) { raceOf(t, s, 4, Large) }

// raceOf lets writers loose on one name, each with a content of its own.
func raceOf(t *testing.T, s objects.Store, writers, size int) {
	var won atomic.Int64
	won.Store(-1)
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		all.Go(func() {
			b := content(uint64(i), size)
			<-start
			created, err := s.Create(t.Context(), "prize", objects.Write(b))
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
			if created && !won.CompareAndSwap(-1, int64(i)) {
				t.Errorf("writers %d and %d have both won", won.Load(), i)
			}
		})
	}
	close(start)
	all.Wait()
	if won.Load() < 0 {
		t.Fatal("nobody has won")
	}
	holds(t, s, "prize", content(uint64(won.Load()), size))
}

// large writes pieces of all sizes, as an encoder does, and reads while others do.
func large(t *testing.T, s objects.Store) {
	b := content(1, Large)
	created, err := s.Create(t.Context(), "large", func(w io.Writer) error {
		for rest, n := b, 1; len(rest) > 0; n = n*3 + 1 {
			piece := rest[:min(n, len(rest))]
			if n, err := w.Write(piece); err != nil || n != len(piece) {
				return fmt.Errorf("wrote %d of %d: %w", n, len(piece), err)
			}
			rest = rest[len(piece):]
		}
		return nil
	})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { holds(t, s, "large", b) })
	}
	all.Wait()
	if created, err := s.Create(t.Context(), "large", objects.Write(content(2, Large))); created || err != nil {
		t.Errorf("again: %v, %v", created, err)
	}
	holds(t, s, "large", b)
}

// wholeOrNot looks for the object while it is being written.
func wholeOrNot(t *testing.T, s objects.Store) {
	b := content(3, Large)
	_, err := s.Create(t.Context(), "slow", func(w io.Writer) error {
		for _, half := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
			if _, err := w.Write(half); err != nil {
				return err
			}
			absent(t, s, "slow")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, s, "slow", b)
	lists(t, s, "", "slow")
}

var errFull = errors.New("the writer's own")

func failingWriter(t *testing.T, s objects.Store) {
	for _, size := range []int{0, 10, Large} {
		created, err := s.Create(t.Context(), "a", func(w io.Writer) error {
			if _, err := w.Write(content(4, size)); err != nil {
				return err
			}
			return errFull
		})
		if created || !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v, %v", size, created, err)
		}
		absent(t, s, "a")
	}
	create(t, s, "a", []byte("at last"))
	lists(t, s, "", "a")
}

var errCalledOff = errors.New("called off")

func endedWriting(t *testing.T, s objects.Store) {
	for _, size := range []int{0, 10, Large} {
		for _, heeds := range []bool{true, false} {
			ctx, cancel := context.WithCancelCause(t.Context())
			created, err := s.Create(ctx, "a", func(w io.Writer) error {
				_, err := w.Write(content(5, size))
				cancel(errCalledOff)
				if heeds && err == nil {
					_, err = w.Write(content(6, size))
				}
				return err
			})
			if created || !calledOff(err) {
				t.Errorf("after %d bytes: %v, %v", size, created, err)
			}
			absent(t, s, "a")
		}
	}
	create(t, s, "a", []byte("at last"))
}

func calledOff(err error) bool {
	return errors.Is(err, errCalledOff) || errors.Is(err, context.Canceled)
}

func endedReading(t *testing.T, s objects.Store) {
	create(t, s, "a", content(7, Large))
	ctx, cancel := context.WithCancelCause(t.Context())
	r, _, err := s.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel(errCalledOff)
	if n, err := io.Copy(io.Discard, r); !calledOff(err) {
		t.Errorf("%d more bytes, %v", n, err)
	}
}

func endedBefore(t *testing.T, s objects.Store) {
	create(t, s, "d/a", []byte("x"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCalledOff)
	_, createErr := s.Create(ctx, "d/b", objects.Write([]byte("x")))
	_, _, openErr := s.Open(ctx, "d/a")
	_, listErr := s.List(ctx, "d")
	for what, err := range map[string]error{
		"create": createErr, "open": openErr, "list": listErr, "delete": s.Delete(ctx, "d/a"), "delete all": s.DeleteAll(ctx, "d"),
	} {
		if !calledOff(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	lists(t, s, "d", "d/a")
}

func listing(t *testing.T, s objects.Store) {
	lists(t, s, "")
	lists(t, s, "nowhere")
	for _, name := range []string{"b", "a/1", "a/2/x", "a/2/y", "a/10", "a-b/1", "a.b"} {
		create(t, s, name, []byte(name))
	}
	lists(t, s, "", "a-b/", "a.b", "a/", "b")
	lists(t, s, "a", "a/1", "a/10", "a/2/")
	lists(t, s, "a/2", "a/2/x", "a/2/y")
	if err := s.Delete(t.Context(), "a/2/x"); err != nil {
		t.Fatal(err)
	}
	lists(t, s, "a/2", "a/2/y")
}

// listingMany has more objects than a server lists, or deletes, at once.
func listingMany(t *testing.T, s objects.Store) {
	if testing.Short() {
		t.Skip("creates a thousand objects")
	}
	const writers, each = 16, 65
	var want []string
	var all sync.WaitGroup
	for i := range writers {
		for j := range each {
			want = append(want, fmt.Sprintf("d/%02d-%02d", i, j))
		}
		all.Go(func() {
			for j := range each {
				create(t, s, fmt.Sprintf("d/%02d-%02d", i, j), nil)
			}
		})
	}
	all.Wait()
	lists(t, s, "d", want...)
	if err := s.DeleteAll(t.Context(), "d"); err != nil {
		t.Error(err)
	}
	lists(t, s, "d")
}

func deleting(t *testing.T, s objects.Store) {
	create(t, s, "d/a", []byte("first"))
	create(t, s, "d/b", []byte("other"))
	for range 2 { // another process may have deleted it
		if err := s.Delete(t.Context(), "d/a"); err != nil {
			t.Error(err)
		}
		if _, _, err := s.Open(t.Context(), "d/a"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after it was deleted: %v", err)
		}
		lists(t, s, "d", "d/b")
	}
	if err := s.Delete(t.Context(), "nowhere/a"); err != nil {
		t.Error(err)
	}
	create(t, s, "d/a", []byte("second"))
	holds(t, s, "d/a", []byte("second"))
}

func deletingAll(t *testing.T, s objects.Store) {
	for _, name := range []string{"d/a", "d/sub/a", "d/sub/b", "d-e/a", "de", "e/d/a"} {
		create(t, s, name, nil)
	}
	for range 2 {
		if err := s.DeleteAll(t.Context(), "d"); err != nil {
			t.Error(err)
		}
		lists(t, s, "d")
		lists(t, s, "", "d-e/", "de", "e/")
		lists(t, s, "e/d", "e/d/a")
	}
}

func names(t *testing.T, s objects.Store) {
	create(t, s, "d/a", []byte("x"))
	ctx := t.Context()
	for _, name := range []string{"", ".", "..", "/", "/a", "a/", "../a", "d/../d/a", "d//a", "./a", ".hidden", "d/.hidden", `a\b`, "a b", "ä", "a\x00", "a\n"} {
		_, createErr := s.Create(ctx, name, objects.Write(nil))
		_, _, openErr := s.Open(ctx, name)
		_, listErr := s.List(ctx, name)
		if name == "" {
			listErr = objects.ErrName // it is the place itself
		}
		for what, err := range map[string]error{
			"create": createErr, "open": openErr, "list": listErr, "delete": s.Delete(ctx, name), "delete all": s.DeleteAll(ctx, name),
		} {
			if !errors.Is(err, objects.ErrName) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	lists(t, s, "", "d/")
	holds(t, s, "d/a", []byte("x"))
}

func tooLarge(t *testing.T, s objects.Store) {
	create(t, s, "a", []byte("12345"))
	if b, err := objects.Read(t.Context(), s, "a", 5); err != nil || string(b) != "12345" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := objects.Read(t.Context(), s, "a", 4); !errors.Is(err, objects.ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
}
