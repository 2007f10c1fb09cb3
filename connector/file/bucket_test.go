package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/output"
)

func TestBucketDir(t *testing.T) {
	tests := []struct{ raw, want string }{
		{"", ""}, {"2026-01-31", "2026-01-31"}, {"country=fi/city=oulu", "country=fi/city=oulu"}, {"päivä", "päivä"},
		{"/", ""}, {"//a//b/", "a/b"}, {"..", "%2E."}, {"../../etc", "%2E./%2E./etc"}, {"a/.hidden", "a/%2Ehidden"},
		{"a\\b", "a%5Cb"}, {"a\x00b\n", "a%00b%0A"}, {"a b%", "a b%"}, {"\xc3", "%C3"}, {"a/\xffä", "a/%FFä"}, {"part-x", "part-x"}, {"part-00000-1.csv", "%70art-00000-1.csv"},
		{strings.Repeat("a", 300), strings.Repeat("a", 200)}, {strings.Repeat("ä", 150), strings.Repeat("ä", 100)},
	}
	for _, test := range tests {
		if got := bucketDir(test.raw); got != test.want {
			t.Errorf("bucketDir(%q) = %q, want %q", test.raw, got, test.want)
		}
	}
}

func FuzzBucketDir(f *testing.F) {
	for _, raw := range []string{"", "a/b", "../a", "\xc3/\xa4", "/", ".", "a/../b", "part-00000-1.csv", "a\\b", "..\x00", "p/p"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		dir := bucketDir(raw)
		if dir != "" && !fs.ValidPath(dir) || dir == "." {
			t.Errorf("bucketDir(%q) = %q, which is no path below", raw, dir)
		}
		for part := range strings.SplitSeq(dir, "/") {
			if strings.HasPrefix(part, ".") || len(part) > maxBucketPart {
				t.Errorf("bucketDir(%q) = %q: part %q", raw, dir, part)
			}
			if _, ok := output.ParseVisible(part); ok {
				t.Errorf("bucketDir(%q) = %q: part %q is called as a file is", raw, dir, part)
			}
		}
		if again := bucketDir(dir); again != dir && len(dir) <= maxBucket { // escapes make it longer
			t.Errorf("bucketDir(%q) = %q, which becomes %q", raw, dir, again)
		}
	})
}

// files returns what the files below dir hold, by their path from there.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func firstLetter(s string) string { return s[:1] }

func write(t *testing.T, w connector.SinkWriter[string], records ...string) {
	t.Helper()
	if err := w.Write(records); err != nil {
		t.Fatal(err)
	}
}

// published prepares, or finishes, and makes the outputs visible.
func published(t *testing.T, end func() ([]connector.Output, error)) {
	t.Helper()
	outputs, err := end()
	if err == nil {
		err = output.Publish(outputs)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBuckets(t *testing.T) {
	for _, maxOpen := range []int{1, 2, 64} {
		dir := t.TempDir()
		w := open(t, Raw[string](dir, Bucket(firstLetter), MaxOpen(maxOpen)), subtask("", 0, 1))
		write(t, w, "a1", "a2", "b1", "a3", ".x")
		write(t, w, "c1", "a4", "/")
		published(t, w.Prepare)
		want := map[string]string{
			"a/part-00000-1.txt": "a1\na2\na3\na4\n", "b/part-00000-1-1.txt": "b1\n", "%2E/part-00000-1-2.txt": ".x\n",
			"c/part-00000-1-3.txt": "c1\n", "part-00000-1-4.txt": "/\n",
		}
		if got := files(t, dir); !maps.Equal(got, want) {
			t.Errorf("at most %d open: after the first checkpoint %q, want %q", maxOpen, got, want)
		}
		write(t, w, "b2")
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		published(t, w.Finish)
		want["b/part-00000-1-5.txt"] = "b2\n"
		if got := files(t, dir); !maps.Equal(got, want) {
			t.Errorf("at most %d open: in the end %q, want %q", maxOpen, got, want)
		}
	}
}

// TestOpenFilesAreBounded writes to many buckets in turn.
func TestOpenFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	w := open(t, Raw[string](dir, Bucket(func(s string) string { return s }), MaxOpen(3)), subtask("", 0, 1)).(*writer[string])
	for i := range 100 {
		write(t, w, fmt.Sprint(i%20))
		opened := 0
		for _, p := range w.parts {
			if p.file != nil {
				opened++
			}
		}
		if opened > 3 || opened != w.open {
			t.Fatalf("%d files are open, counted as %d, want at most 3", opened, w.open)
		}
	}
	published(t, w.Finish)
	got := files(t, dir)
	for name, text := range got {
		if n := filepath.Dir(name); text != strings.Repeat(n+"\n", 5) {
			t.Errorf("%s holds %q", name, text)
		}
	}
	if len(got) != 20 {
		t.Errorf("%d files, want 20: %q", len(got), got)
	}
}

func TestRollBySize(t *testing.T) {
	dir := t.TempDir()
	w := open(t, CSV[string](dir, RollSize(20)), subtask("", 0, 1))
	write(t, w, "0123456")    // 6+8 bytes
	write(t, w, "89", "abcd") // 22
	write(t, w, strings.Repeat("x", 100))
	write(t, w, "y")
	if got := files(t, dir); len(got) != 3 {
		t.Errorf("before the checkpoint: %q, want three hidden files", got)
	}
	published(t, w.Prepare)
	published(t, w.Finish)
	want := map[string]string{
		"part-00000-1.csv": "value\n0123456\n89\nabcd\n", "part-00000-1-1.csv": "value\n" + strings.Repeat("x", 100) + "\n",
		"part-00000-1-2.csv": "value\ny\n",
	}
	if got := files(t, dir); !maps.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestRollByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := open(t, Raw[string](dir, RollAge(time.Minute)), subtask("", 0, 1))
		time.Sleep(time.Hour) // without a record it does not grow old
		write(t, w, "a")
		time.Sleep(59 * time.Second)
		write(t, w, "b")
		time.Sleep(time.Second)
		if err := w.Flush(); err != nil { // it is old enough
			t.Fatal(err)
		}
		write(t, w, "c")
		time.Sleep(61 * time.Second)
		write(t, w, "d")
		write(t, w, "e")
		published(t, w.Finish)
		want := map[string]string{"part-00000-1.txt": "a\nb\n", "part-00000-1-1.txt": "c\nd\n", "part-00000-1-2.txt": "e\n"}
		if got := files(t, dir); !maps.Equal(got, want) {
			t.Errorf("files %q, want %q", got, want)
		}
	})
}

// TestAbortRemovesRolledFiles, and leaves those that a checkpoint may name, and others'.
func TestAbortRemovesRolledFiles(t *testing.T) {
	dir := t.TempDir()
	sink := Raw[string](dir, RollSize(7), Bucket(firstLetter), MaxOpen(1))
	w, other := open(t, sink, subtask("", 0, 1)), open(t, sink, subtask("", 1, 1))
	write(t, w, "a1", "b1")
	if outputs, err := w.Prepare(); len(outputs) != 2 || err != nil {
		t.Fatal(outputs, err)
	}
	write(t, other, "a2")
	write(t, w, "a3", "b3", "a4 is long", "c3")
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(files(t, dir))); !slices.Equal(got, []string{
			"a/.part-00000-1.txt.inprogress-89abcdef-811c9dc5", "a/.part-00001-1.txt.inprogress-89abcdef-811c9dc5", "b/.part-00000-1-1.txt.inprogress-89abcdef-811c9dc5",
		}) {
			t.Errorf("one of two has aborted: %q", got)
		}
	}
	if err := other.Abort(); err != nil {
		t.Fatal(err)
	}
}

// TestBucketsOfEarlierAttempts are looked through: for what is to be removed, and by a first attempt for what is in the way.
func TestBucketsOfEarlierAttempts(t *testing.T) {
	dir := t.TempDir()
	inherited := filepath.Join(dir, "a", ".part-00001-1.txt.inprogress-89abcdef-811c9dc5")
	names := []string{
		"a/.part-00001-1.txt.inprogress-89abcdef-811c9dc5", "b/.part-00001-1.txt.inprogress-89abcdef-811c9dc5", "b/c/.part-00003-1-7.txt.inprogress-89abcdef-811c9dc5",
		"b/.part-00002-1-1.txt.inprogress-89abcdef-811c9dc5", "a/part-00001-1-3.txt",
	}
	for _, name := range names {
		writeFile(t, filepath.Join(dir, name), nil)
	}
	sink := Raw[string](dir, Bucket(firstLetter))
	w := open(t, sink, operator.NewContext(context.Background(), operator.ContextConfig{
		Job: jobID, Attempt: 2, Subtask: 1, Parallelism: 2, Inherited: []job.Output{{Temp: inherited}},
	}))
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	want := []string{names[0], names[4], names[3]} // of subtask 3 subtask 1 has the place now
	if got := slices.Sorted(maps.Keys(files(t, dir))); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("files %q, want %q", got, want)
	}
	err := sink.(connector.Checker).Check(subtask("", 0, 1))
	if err == nil || !strings.Contains(err.Error(), "already holds a/part-00001-1-3.txt") {
		t.Errorf("Check = %v", err)
	}
}

func TestRaw(t *testing.T) {
	type line []byte
	dir := t.TempDir()
	w := open(t, Raw[line](dir, Separator("|"), Extension("log.txt")), subtask("", 0, 1))
	if err := w.Write([]line{line("a"), nil, line("\xff\n")}); err != nil {
		t.Fatal(err)
	}
	published(t, w.Finish)
	if got, want := files(t, dir), map[string]string{"part-00000-1.log.txt": "a||\xff\n|"}; !maps.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestSinkOptionsThatMakeNoSense(t *testing.T) {
	tests := []struct {
		sink connector.Sink[string]
		want string
	}{
		{Raw[string]("out", RollSize(0)), "RollSize of 0 bytes"},
		{Raw[string]("out", RollAge(-time.Second)), "RollAge of -1s"},
		{Raw[string]("out", MaxOpen(0)), "MaxOpen of 0 files"},
		{Raw[string]("out", Extension("")), `Extension ""`},
		{Raw[string]("out", Extension("a/b")), `Extension "a/b"`},
		{Raw[string]("out", Extension(".a")), `Extension ".a"`},
		{Raw[string]("out", NoHeader()), "file.NoHeader is for file.CSV"},
		{CSV[string]("out", Separator("")), "file.Separator is for file.Raw"},
		{JSONLines[string]("out", Bucket(func(int) string { return "" })), "file.Bucket has a func(int) string, and the records are of type string"},
	}
	for _, test := range tests {
		ctx := subtask(t.TempDir(), 0, 1)
		_, err := test.sink.Open(ctx)
		if err := errors.Join(err, test.sink.(connector.Checker).Check(ctx)); err == nil || strings.Count(err.Error(), test.want) != 2 {
			t.Errorf("%v, want %q of Open and of Check", err, test.want)
		}
	}
}

func TestBucketsAllocateNothingPerRecord(t *testing.T) {
	records := make([]string, 1000)
	for i := range records {
		records[i] = []string{"a1", "b1", "c1"}[i%3]
	}
	w := open(t, Raw[string](t.TempDir(), Bucket(firstLetter)), subtask("", 0, 1))
	for range 2 {
		write(t, w, records...)
	}
	if perRecord := testing.AllocsPerRun(20, func() { write(t, w, records...) }) / float64(len(records)); perRecord > 0.001 {
		t.Errorf("%.4f allocations per record", perRecord)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
}
