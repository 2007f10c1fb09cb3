package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
	"github.com/perennial-io/perennial/internal/output"
)

const jobID = job.ID("0123456789abcdef0123456789abcdef")

func subtask(dir string, index int, attempt job.Attempt) *connector.Context {
	return operator.NewContext(context.Background(), operator.ContextConfig{
		Job: jobID, Attempt: attempt, Subtask: index, Parallelism: 4, Dir: dir,
	})
}

type wordCount struct {
	Word  string
	Count int
}

// open opens a writer that the test ends at the latest.
func open[T any](t *testing.T, s connector.Sink[T], ctx *connector.Context) connector.SinkWriter[T] {
	t.Helper()
	w, err := s.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// contents returns what the files of dir hold.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

func TestLifeOfAPart(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "new", "out")
	w := open(t, CSV[wordCount]("new/out"), subtask(dir, 3, 2))
	for _, c := range []wordCount{{"a", 1}, {"b", -2}} {
		if err := w.Write([]wordCount{c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	hidden := ".part-00003-2.csv.inprogress-89abcdef-811c9dc5"
	const text = "Word,Count\na,1\nb,-2\n"
	if got, want := contents(t, out), map[string]string{hidden: text}; !maps.Equal(got, want) {
		t.Errorf("after Flush %q, want %q", got, want)
	}
	outputs, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	want := []job.Output{{Temp: filepath.Join(out, hidden), Final: filepath.Join(out, "part-00003-2.csv")}}
	if !slices.Equal(outputs, want) {
		t.Fatalf("Finish() = %v, want %v", outputs, want)
	}
	if err := output.Publish(outputs); err != nil {
		t.Fatal(err)
	}
	if got, want := contents(t, out), map[string]string{"part-00003-2.csv": text}; !maps.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w := open(t, JSONLines[wordCount](dir), subtask("", 0, 1))
	if err := w.Write(make([]wordCount, 100_000)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, dir); len(got) != 0 {
			t.Errorf("after Abort: %v", got)
		}
	}
}

// A new attempt removes what the lower ones of the same subtask left, and nothing else.
func TestOpenRemovesLowerAttempts(t *testing.T) {
	dir := t.TempDir()
	old := []string{
		".part-00001-1.csv.inprogress-89abcdef-811c9dc5", ".part-00001-2.csv.inprogress-89abcdef-811c9dc5",
	}
	others := []string{
		".part-00000-1.csv.inprogress-89abcdef-811c9dc5",   // another subtask
		".part-00001-4.csv.inprogress-89abcdef-811c9dc5",   // a later attempt
		".part-00001-1.csv.inprogress-00000000-811c9dc5",   // another job
		".part-00001-1.jsonl.inprogress-89abcdef-811c9dc5", // another sink
		".part-00001-1.csv.inprogress-89abcdef-0a0b0c0d",   // another sink of the job, whose region runs on
		".part-00001-1.csv", "notes.txt",
	}
	for _, name := range slices.Concat(old, others) {
		writeFile(t, filepath.Join(dir, name), nil)
	}
	w := open(t, CSV[wordCount](dir), subtask("", 1, 3))
	left := slices.Sorted(maps.Keys(contents(t, dir)))
	want := slices.Sorted(slices.Values(append(others, ".part-00001-3.csv.inprogress-89abcdef-811c9dc5")))
	if !slices.Equal(left, want) {
		t.Errorf("files: %q, want %q", left, want)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
}

// act is what a runtime does with a writer: "w" writes a record, "e" an empty batch, "p" prepares,
// "f" finishes, "a" aborts. It returns the visible names of what is to become visible.
func act(t *testing.T, w connector.SinkWriter[string], acts string) []string {
	t.Helper()
	names := []string{}
	for i, a := range acts {
		var outputs []connector.Output
		var err error
		switch a {
		case 'w':
			err = w.Write([]string{fmt.Sprint(i)})
		case 'e':
			err = errors.Join(w.Write(nil), w.Flush())
		case 'p':
			outputs, err = w.Prepare()
		case 'f':
			outputs, err = w.Finish()
		case 'a':
			err = w.Abort()
		}
		if err != nil {
			t.Fatalf("%c, act %d: %v", a, i, err)
		}
		for _, o := range outputs {
			names = append(names, filepath.Base(o.Final))
		}
	}
	return names
}

func TestPartsRollAtCheckpoints(t *testing.T) {
	const first, second = "part-00001-1.csv", "part-00001-1-1.csv"
	tests := []struct {
		acts  string
		files map[string]string // visible name: content
	}{
		{"f", map[string]string{first: "value\n"}},
		{"pf", map[string]string{first: "value\n"}},
		{"epef", map[string]string{first: "value\n"}},
		{"wf", map[string]string{first: "value\n0\n"}},
		{"pwpf", map[string]string{first: "value\n1\n"}},
		{"wpf", map[string]string{first: "value\n0\n"}},
		{"wppepf", map[string]string{first: "value\n0\n"}},
		{"wpwf", map[string]string{first: "value\n0\n", second: "value\n2\n"}},
		{"wwpewpf", map[string]string{first: "value\n0\n1\n", second: "value\n4\n"}},
		{"a", map[string]string{}},
		{"wa", map[string]string{}},
		{"wpaa", map[string]string{first: "value\n0\n"}},
		{"wpwaa", map[string]string{first: "value\n0\n"}},
	}
	for _, test := range tests {
		dir := t.TempDir()
		got := act(t, open(t, CSV[string](dir), subtask("", 1, 1)), test.acts)
		if want := slices.Sorted(maps.Keys(test.files)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s: outputs %q, want %q", test.acts, got, want)
		}
		want := map[string]string{}
		for name, text := range test.files {
			want["."+name+".inprogress-89abcdef-811c9dc5"] = text
		}
		if got := contents(t, dir); !maps.Equal(got, want) {
			t.Errorf("%s: files %q, want %q", test.acts, got, want)
		}
	}
}

// What a checkpoint made visible is out of the writer's reach.
func TestPreparedMayBeVisibleAtOnce(t *testing.T) {
	dir := t.TempDir()
	w := open(t, CSV[string](dir, NoHeader()), subtask("", 0, 1))
	for range 2 {
		act(t, w, "w")
		outputs, err := w.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		if err := output.Publish(outputs); err != nil {
			t.Fatal(err)
		}
	}
	act(t, w, "wa")
	want := map[string]string{"part-00000-1.csv": "0\n", "part-00000-1-1.csv": "0\n"}
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// A later attempt finds what its own job published, and keeps what is still to become visible.
func TestOpenAfterRestart(t *testing.T) {
	dir := t.TempDir()
	inherited := ".part-00001-1-1.csv.inprogress-89abcdef-811c9dc5"
	writeFile(t, filepath.Join(dir, "part-00001-1.csv"), []byte("visible"))
	writeFile(t, filepath.Join(dir, inherited), []byte("inherited"))
	writeFile(t, filepath.Join(dir, ".part-00001-1-2.csv.inprogress-89abcdef-811c9dc5"), []byte("of no checkpoint"))
	writeFile(t, filepath.Join(dir, ".part-00002-1-2.csv.inprogress-89abcdef-811c9dc5"), []byte("another subtask's"))
	w := open(t, CSV[string](dir), operator.NewContext(context.Background(), operator.ContextConfig{
		Job: jobID, Attempt: 2, Subtask: 1, Parallelism: 4,
		Inherited: []job.Output{{Temp: filepath.Join(dir, inherited), Final: filepath.Join(dir, "part-00001-1-1.csv")}},
	}))
	if got := act(t, w, "pf"); len(got) != 0 {
		t.Errorf("outputs %q of an attempt that wrote nothing, and had inherited a file", got)
	}
	want := map[string]string{
		"part-00001-1.csv": "visible", inherited: "inherited",
		".part-00002-1-2.csv.inprogress-89abcdef-811c9dc5": "another subtask's",
	}
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if err := CSV[string](dir).(connector.Checker).Check(subtask("", 1, 1)); err == nil {
		t.Error("Check of a first attempt takes a directory with an output")
	}
}

func TestOutputThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "taken", "part-00000-1.csv"), nil)
	writeFile(t, filepath.Join(dir, "file"), nil)
	tests := []struct {
		name string
		sink connector.Sink[wordCount]
		want string
	}{
		{"taken", CSV[wordCount]("taken"), "output " + filepath.Join(dir, "taken") +
			" already holds part-00000-1.csv; choose another directory or remove it"},
		{"taken by another format", JSONLines[wordCount]("taken"), "already holds part-00000-1.csv"},
		{"a file", CSV[wordCount]("file"), "not a directory"},
		{"below a file", CSV[wordCount]("file/out"), "not a directory"},
		{"no name", CSV[wordCount](""), "no directory given"},
	}
	for _, test := range tests {
		ctx := subtask(dir, 0, 1)
		if err := test.sink.(connector.Checker).Check(ctx); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Check = %v, want %q", test.name, err, test.want)
		}
		if _, err := test.sink.Open(ctx); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Open = %v, want %q", test.name, err, test.want)
		}
	}
}

func TestUnwritableDirectory(t *testing.T) {
	dir := "/proc/self" // not even root writes there
	if _, err := os.Stat(dir); err != nil {
		t.Skip("needs /proc")
	}
	sink := CSV[wordCount](dir)
	if err := sink.(connector.Checker).Check(subtask("", 0, 1)); err == nil || !strings.Contains(err.Error(), "cannot write to "+dir) {
		t.Errorf("Check = %v", err)
	}
	if _, err := sink.Open(subtask("", 0, 1)); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open = %v", err)
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, out := range []string{dir, filepath.Join(dir, "new", "out")} {
		if err := CSV[wordCount](out).(connector.Checker).Check(subtask("", 0, 1)); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, dir); len(got) != 0 {
			t.Errorf("Check of %s left %v", out, got)
		}
	}
}

func TestTwoSinksInOneDirectory(t *testing.T) {
	dir := t.TempDir()
	w := open(t, CSV[wordCount](dir), subtask("", 0, 1))
	if _, err := CSV[wordCount](dir).Open(subtask("", 0, 1)); err == nil || !strings.Contains(err.Error(), "two sinks") {
		t.Errorf("Open = %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
}

// A full disk is an error of Write, Flush or Finish, and nothing is promised.
func TestDiskFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full")
	}
	dir := t.TempDir()
	w := open(t, CSV[wordCount](dir), subtask("", 0, 1)).(*writer[wordCount])
	if err := w.parts[""].file.Close(); err != nil {
		t.Fatal(err)
	}
	w.parts[""].file = full
	if err := w.Write([]wordCount{{"a", 1}}); err != nil {
		t.Fatal(err)
	}
	outputs, err := w.Finish()
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || outputs != nil {
		t.Errorf("Finish() = %v, %v", outputs, err)
	}
	if got := contents(t, dir); len(got) != 0 {
		t.Errorf("a failed Finish left %v", got)
	}
}

func TestWriteKeepsNothingOfRecords(t *testing.T) {
	dir := t.TempDir()
	w := open(t, CSV[string](dir, NoHeader()), subtask("", 0, 1))
	block := []byte("before")
	records := []string{string(block)}
	if err := w.Write(records); err != nil {
		t.Fatal(err)
	}
	records[0] = "after"
	outputs, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(outputs[0].Temp); err != nil || string(text) != "before\n" {
		t.Errorf("file holds %q, %v", text, err)
	}
}

func TestWritersAllocateNothingPerRecord(t *testing.T) {
	records := make([]measurement, 1000)
	for i := range records {
		records[i] = newMeasurement(i)
	}
	for name, sink := range map[string]connector.Sink[measurement]{
		"csv": CSV[measurement](t.TempDir()), "json": JSONLines[measurement](t.TempDir()),
	} {
		w := open(t, sink, subtask("", 0, 1))
		write := func() {
			if err := w.Write(records); err != nil {
				t.Fatal(err)
			}
		}
		write() // the buffer grows
		if perRecord := testing.AllocsPerRun(20, write) / float64(len(records)); perRecord > 0.001 {
			t.Errorf("%s: %.4f allocations per record", name, perRecord)
		}
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	records := make([]measurement, 1000)
	for i := range records {
		records[i] = newMeasurement(i)
	}
	for _, format := range []struct {
		name   string
		encode encoder[measurement]
	}{{"csv", CSV[measurement]("x").(sink[measurement]).encode}, {"json", JSONLines[measurement]("x").(sink[measurement]).encode}} {
		b.Run(format.name, func(b *testing.B) {
			var text []byte
			var err error
			for b.Loop() {
				if text, err = format.encode.appendRecords(text[:0], records); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(text)))
			b.ReportMetric(float64(b.N)*float64(len(records))/b.Elapsed().Seconds()/1e6, "Mrecords/s")
			if !bytes.HasSuffix(text, []byte{'\n'}) {
				b.Error(fmt.Sprint("no line end after ", len(text)))
			}
		})
	}
}
