package file

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/operator"
)

// newContext is of a job submitted in dir.
func newContext(dir string) *connector.Context {
	return operator.NewContext(context.Background(), operator.ContextConfig{Dir: dir})
}

// splitsOf lists the splits of a source.
func splitsOf(ctx *connector.Context, src connector.Source[string]) ([]connector.Split, error) {
	var splits []connector.Split
	err := src.Splits(ctx, func(s connector.Split) error {
		splits = append(splits, s)
		return nil
	})
	return splits, err
}

// readSplit reads one split, batch records at a time.
func readSplit(ctx *connector.Context, src connector.Source[string], s connector.Split, batch int) ([]string, error) {
	r, err := src.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	var all []string
	dst := make([]string, batch)
	for {
		n, err := r.Next(dst)
		all = append(all, dst[:n]...)
		if err == io.EOF {
			return all, r.Close()
		}
		if err != nil {
			return all, errors.Join(err, r.Close())
		}
		if n == 0 {
			return all, errors.New("Next returned 0 and nil, and Ready is nil")
		}
	}
}

// readAll reads all splits in order.
func readAll(ctx *connector.Context, src connector.Source[string], batch int) ([]string, error) {
	splits, err := splitsOf(ctx, src)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, s := range splits {
		lines, err := readSplit(ctx, src, s, batch)
		all = append(all, lines...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// scan is another reader of lines, to compare with.
func scan(t testing.TB, text []byte) []string {
	t.Helper()
	var lines []string
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(nil, len(text)+1)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return lines
}

func writeFile(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestLinesOfOneFile(t *testing.T) {
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"one line end", "\n"},
		{"one line", "a\n"},
		{"no line end", "a"},
		{"empty lines", "\n\na\n\n"},
		{"last without end", "a\nbc"},
		{"crlf", "a\r\nb\r\n\r\n"},
		{"crlf at the very end missing", "a\r\nb\r"},
		{"cr inside stays", "a\rb\r\r\n"},
		{"only cr", "\r"},
		{"not ASCII", "ä\n€\n\xff\xfe\x00\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "in"), []byte(test.text))
			for size := int64(1); size <= int64(len(test.text))+1; size++ {
				got, err := readAll(newContext(dir), Lines("in", SplitSize(size)), 3)
				if want := scan(t, []byte(test.text)); err != nil || !slices.Equal(got, want) {
					t.Errorf("splits of %d bytes: %q, %v, want %q", size, got, err, want)
				}
			}
		})
	}
}

// However files are cut, and however small blocks are, every line is read once, and in order
// if the splits are read in order.
func TestLinesWhateverTheSplits(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		var want []string
		for i := range 1 + rnd.IntN(8) {
			text := randomText(rnd, 1+rnd.IntN(3000))
			writeFile(t, filepath.Join(dir, fmt.Sprintf("%d/%02d", i/4, i)), text)
			want = append(want, scan(t, text)...)
		}
		src := Lines(dir, SplitSize(1+rnd.Int64N(4000))).(lines)
		src.block = 1 + rnd.IntN(500)
		got, err := readAll(newContext(""), src, 1+rnd.IntN(50))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d lines, want %d:\n%q\n%q", seed, len(got), len(want), got, want)
		}
	}
}

func randomText(rnd *rand.Rand, size int) []byte {
	var text []byte
	length := 1 + rnd.IntN(200)
	for len(text) < size {
		for range rnd.IntN(length) {
			text = append(text, "abc \r"[rnd.IntN(5)])
		}
		if rnd.IntN(3) == 0 {
			text = append(text, '\r')
		}
		text = append(text, '\n')
	}
	if rnd.IntN(2) == 0 {
		text = append(text, "no line end"...)
	}
	return text
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"), uint16(2), uint16(1))
	f.Add([]byte("\r\n\r\n\r"), uint16(1), uint16(3))
	f.Fuzz(func(t *testing.T, text []byte, split, block uint16) {
		text = text[:min(len(text), 1<<12)] // each split opens the file
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "in"), text)
		src := Lines("in", SplitSize(int64(split)+1)).(lines)
		src.block = int(block) + 1
		got, err := readAll(newContext(dir), src, 7)
		if want := scan(t, text); err != nil || !slices.Equal(got, want) {
			t.Errorf("splits of %d bytes: %q, %v, want %q", split+1, got, err, want)
		}
	})
}

// What was handed out stays as it was while the reader goes on.
func TestLinesAreNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	var text []byte
	for i := range 100_000 {
		text = fmt.Appendf(text, "line %d\n", i)
	}
	writeFile(t, filepath.Join(dir, "in"), text)
	got, err := readAll(newContext(dir), Lines("in"), 1024)
	if err != nil || len(got) != 100_000 {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	for i, line := range got {
		if line != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

func TestLongLines(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 3*defaultBlock)
	writeFile(t, filepath.Join(dir, "in"), []byte("short\n"+long+"\nshort\n"+long))
	want := []string{"short", long, "short", long}
	for _, size := range []int64{0, 1000, defaultBlock, 4 * defaultBlock} {
		got, err := readAll(newContext(dir), Lines("in", SplitSize(size)), 16)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("splits of %d bytes: %d lines, %v", size, len(got), err)
		}
	}
}

func TestLineTooLong(t *testing.T) {
	for _, text := range []string{"ok\n12345678\n", "ok\n12345678", "ok\n123456789012345678901234567890"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "in")
		writeFile(t, path, []byte(text))
		if got, err := readAll(newContext(dir), Lines("in", MaxLine(30)), 8); err != nil || len(got) != 2 {
			t.Errorf("%q: %q, %v, want both lines", text, got, err)
		}
		got, err := readAll(newContext(dir), Lines("in", MaxLine(7)), 8)
		if err == nil || !strings.Contains(err.Error(), path+": the line at byte 3 is longer than 7 bytes") {
			t.Errorf("%q: error %v, want one that names file and byte", text, err)
		}
		if !slices.Equal(got, []string{"ok"}) {
			t.Errorf("%q: %q before the error, want what comes before it", text, got)
		}
	}
}

func TestFilesThatChange(t *testing.T) {
	tests := []struct {
		name   string
		change func(path string) error
		want   []string
		err    string
	}{
		{"vanished", os.Remove, nil, "was there when the job began, and is gone"},
		{"shrunk", func(path string) error { return os.Truncate(path, 3) }, nil,
			"had at least 6 bytes when the job began, and has 3 now"},
		{"grown by lines", appendTo("d\n"), []string{"a", "b", "c"}, ""},
		{"grown in the last line", appendTo("d"), []string{"a", "b", "c"}, ""},
	}
	for _, test := range tests {
		for _, size := range []int64{0, 2} { // in a group, in ranges
			t.Run(fmt.Sprintf("%s/%d", test.name, size), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "in")
				writeFile(t, path, []byte("a\nb\nc\n"))
				src := Lines("in", SplitSize(size))
				splits, err := splitsOf(newContext(dir), src)
				if err != nil {
					t.Fatal(err)
				}
				if err := test.change(path); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, s := range splits {
					var some []string
					some, err = readSplit(newContext(dir), src, s, 8)
					got = append(got, some...)
					if err != nil {
						break
					}
				}
				if test.err == "" && !slices.Equal(got, test.want) {
					t.Errorf("read %q, want %q", got, test.want)
				}
				switch {
				case test.err == "" && err != nil:
					t.Error(err)
				case test.err != "" && (err == nil || !strings.Contains(err.Error(), path)):
					t.Errorf("error %v, want one that names %s", err, path)
				case test.err != "" && size == 0 && !strings.Contains(err.Error(), test.err):
					t.Errorf("error %v, want %q", err, test.err)
				}
			})
		}
	}
}

func appendTo(text string) func(string) error {
	return func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
}

func TestSmallFilesShareSplits(t *testing.T) {
	dir := t.TempDir()
	const files = 2000
	var want []string
	for i := range files {
		name := fmt.Sprintf("%04d", i)
		writeFile(t, filepath.Join(dir, name), []byte(name)) // no line end: the next file begins a new line
		want = append(want, name)
	}
	splits, err := splitsOf(newContext(""), Lines(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(splits) > files/50 {
		t.Errorf("%d splits for %d small files", len(splits), files)
	}
	for _, s := range splits {
		if len(s.Data) > maxGroup {
			t.Errorf("a split of %d bytes", len(s.Data))
		}
	}
	if got, err := readAll(newContext(""), Lines(dir), 100); err != nil || !slices.Equal(got, want) {
		t.Errorf("read %d lines, %v, want %d", len(got), err, len(want))
	}
}

func TestLargeFileHasManySplits(t *testing.T) {
	tests := []struct {
		size int64
		want int
	}{{1, 1}, {minSplit, 1}, {minSplit + 1, 2}, {16 * minSplit, 16}, {90 << 20, 16}, {10 << 30, 320}}
	for _, test := range tests {
		n, end := 0, int64(0)
		s := splitter{emit: func(s connector.Split) error {
			if s.From != end {
				t.Errorf("%d bytes: a split begins at %d, the one before ended at %d", test.size, s.From, end)
			}
			n, end = n+1, s.To
			return nil
		}}
		if err := errors.Join(s.add("x", test.size), s.flush()); err != nil {
			t.Fatal(err)
		}
		if n != test.want || end != test.size {
			t.Errorf("%d bytes: %d splits up to %d, want %d", test.size, n, end, test.want)
		}
	}
}

func TestMalformedSplit(t *testing.T) {
	good := appendPart(nil, part{"/some/file", 5, 300})
	for n := 1; n < len(good); n++ {
		r := newLineReader(connector.Split{To: 295, Data: good[:n]}, 10, 10)
		if _, err := r.Next(make([]string, 1)); !errors.Is(err, errMalformedSplit) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

// For each line nothing, for each split and file a little.
func TestLinesAllocateNothingPerLine(t *testing.T) {
	dir := t.TempDir()
	const n = 200_000
	writeFile(t, filepath.Join(dir, "in"), bytes.Repeat([]byte("the quick brown fox\r\n"), n))
	ctx, dst, src := newContext(dir), make([]string, 1024), Lines("in")
	splits, err := splitsOf(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	allocs := testing.AllocsPerRun(1, func() {
		for _, s := range splits {
			r, err := src.Open(ctx, s)
			for err == nil {
				var n int
				n, err = r.Next(dst)
				lines += n
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		}
	})
	if lines != 2*n { // a warm-up and a run
		t.Errorf("%d lines, want %d", lines, 2*n)
	}
	if perLine := allocs / n; perLine > 0.001 {
		t.Errorf("%.5f allocations per line", perLine)
	}
}
