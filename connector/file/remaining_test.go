package file

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/connector"
)

// resumed reads s to its end, batch records at a time, and after every batch by a new reader of what
// is left with probability 1/every.
func resumed(src connector.Source[string], s connector.Split, rnd *rand.Rand, every, batch int) ([]string, error) {
	var all []string
	dst := make([]string, batch)
	r, err := src.Open(newContext(""), s)
	for err == nil {
		if rnd.IntN(every) == 0 {
			left := r.(connector.Resumable).Remaining()
			if err := r.Close(); err != nil {
				return all, err
			}
			if r, err = src.Open(newContext(""), left); err != nil {
				return all, err
			}
		}
		var n int
		n, err = r.Next(dst[:1+rnd.IntN(batch)])
		all = append(all, dst[:n]...)
	}
	if err != io.EOF {
		return all, err
	}
	return all, r.Close()
}

// A reader of what is left goes on exactly where the one before it stood, wherever that was.
func TestRemainingLines(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		dir := t.TempDir()
		for i := range 1 + rnd.IntN(8) {
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%02d", i)), randomText(rnd, rnd.IntN(1500)))
		}
		writeFile(t, filepath.Join(dir, "empty"), nil)
		src := Lines(dir, SplitSize(1+rnd.Int64N(4000))).(lines)
		src.block = 1 + rnd.IntN(500)
		splits, err := splitsOf(newContext(""), src)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range splits {
			want, err := readSplit(newContext(""), src, s, 7)
			if err != nil {
				t.Fatal(err)
			}
			got, err := resumed(src, s, rnd, 1+rnd.IntN(4), 1+rnd.IntN(20))
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("seed %d, split %+v: %q, %v, want %q", seed, s, got, err, want)
			}
		}
	}
}

func TestRemainingAfterEachLine(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	writeFile(t, a, []byte("1\r\n22\n333"))
	writeFile(t, b, []byte("4\n"))
	writeFile(t, c, nil)
	group := connector.Split{Name: a, To: 12, Data: slices.Concat(
		appendPart(nil, part{a, 0, 9}), appendPart(nil, part{c, 0, 0}), appendPart(nil, part{b, 0, 2}), appendPart(nil, part{b, 1, 2}))}
	tests := []struct {
		name  string
		split connector.Split
		lines int // read before
		want  connector.Split
	}{
		{"nothing read", connector.Split{Name: a, From: 1, To: 9}, 0, connector.Split{Name: a, From: 1, To: 9}},
		{"a line that began before", connector.Split{Name: a, From: 1, To: 9}, 1, connector.Split{Name: a, From: 6, To: 9}},
		{"crlf", connector.Split{Name: a, To: 9}, 1, connector.Split{Name: a, From: 3, To: 9}},
		{"a line across the end", connector.Split{Name: a, To: 4}, 2, connector.Split{}},
		{"no line end", connector.Split{Name: a, To: 9}, 3, connector.Split{}},
		{"group unread", group, 0, group},
		{"group, first file half read", group, 1, connector.Split{Name: a, To: 9, Data: append(appendPart(nil, part{a, 3, 9}), group.Data[len(appendPart(nil, part{a, 0, 9})):]...)}},
	}
	for _, test := range tests {
		r := newLineReader(test.split, 100, 100)
		if test.lines > 0 {
			if n, err := r.Next(make([]string, test.lines)); n != test.lines || err != nil {
				t.Fatalf("%s: Next = %d, %v", test.name, n, err)
			}
		}
		got := r.Remaining()
		if got.Name != test.want.Name || got.From != test.want.From || got.To != test.want.To || string(got.Data) != string(test.want.Data) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Before the line at the range's beginning is skipped, the range is left as it was: the byte before it
// may begin a line that is another range's.
func TestRemainingBeforeTheSkip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	writeFile(t, path, []byte("\n\nx\n"))
	want := connector.Split{Name: path, From: 2, To: 4}
	r := newLineReader(want, 100, 100)
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	if got := r.Remaining(); got.From != want.From || got.To != want.To {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesRange(t *testing.T) {
	for _, s := range []connector.Split{{Name: "x", From: -1}, {Name: "x", From: 2, To: 1}, {To: math.MinInt64, From: math.MaxInt64}} {
		if _, err := Lines("x").Open(newContext(""), s); err == nil {
			t.Errorf("Open takes %+v", s)
		}
	}
}

// A list of files comes from storage: whatever it holds, it is refused or read to its end, and what
// is left of it after any part is again such a list.
func FuzzSplitList(f *testing.F) {
	f.Add(int64(10), appendPart(appendPart(nil, part{"a", 0, 4}), part{"b", 3, 9}))
	f.Add(int64(math.MaxInt64), appendPart(nil, part{"", 0, math.MaxInt64}))
	f.Add(int64(1), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, to int64, data []byte) {
		if to < 0 || len(data) == 0 || len(data) > 1<<10 {
			return
		}
		p := partsOf(connector.Split{To: to, Data: data})
		newLineReader(connector.Split{To: to, Data: data}, 10, 10).Remaining()
		for {
			next, ok, err := p.next()
			if err != nil && !errors.Is(err, errMalformedSplit) {
				t.Fatal(err)
			}
			if err != nil || !ok {
				return
			}
			if next.from < 0 || next.to < next.from || p.bytes < 0 {
				t.Fatalf("part %+v, %d bytes left", next, p.bytes)
			}
			again := partsOf(p.withHead(next))
			if head, _, err := again.next(); err != nil || head != next && next.to > next.from {
				t.Fatalf("%+v, %v, want %+v", head, err, next)
			}
		}
	})
}
