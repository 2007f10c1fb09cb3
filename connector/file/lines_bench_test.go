package file

import (
	"bufio"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/connector"
)

// benchmarkInput is real text: the source of Go's own library, as many small files
// and as one large one.
func benchmarkInput(b *testing.B, run func(b *testing.B, path string)) {
	root := filepath.Join(goRoot(), "src")
	if _, err := os.Stat(root); err != nil {
		b.Skipf("no source of Go's library: %v", err)
	}
	b.Run("files", func(b *testing.B) { run(b, root) })
	b.Run("one", func(b *testing.B) {
		one, err := os.Create(filepath.Join(b.TempDir(), "one.go"))
		if err != nil {
			b.Fatal(err)
		}
		w := bufio.NewWriter(one)
		forEachFile(b, root, func(f *os.File) { must(b, second(io.Copy(w, f))) })
		must(b, w.Flush())
		must(b, one.Close())
		run(b, one.Name())
	})
}

func second[T any](_ T, err error) error { return err }

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// forEachFile opens each *.go below path, or path itself.
func forEachFile(b *testing.B, path string, f func(*os.File)) {
	must(b, filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".go") || hidden(path) {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		f(file)
		return file.Close()
	}))
}

func BenchmarkLines(b *testing.B) {
	benchmarkInput(b, func(b *testing.B, path string) {
		ctx, dst, src := newContext(""), make([]string, 1024), Lines(path, Match("*.go"))
		measure(b, func() (lines, sum int) {
			must(b, src.Splits(ctx, func(s connector.Split) error {
				r, err := src.Open(ctx, s)
				for err == nil {
					var n int
					n, err = r.Next(dst)
					lines += n
					for _, line := range dst[:n] {
						sum += len(line)
					}
				}
				if err != io.EOF {
					return err
				}
				return nil
			}))
			return lines, sum
		})
	})
}

// BenchmarkScanner is what a program without an engine does: a line is a slice of the
// scanner's buffer, gone with the next one.
func BenchmarkScanner(b *testing.B) {
	benchmarkInput(b, func(b *testing.B, path string) {
		buf := make([]byte, 1<<20)
		measure(b, func() (lines, sum int) {
			forEachFile(b, path, func(f *os.File) {
				s := bufio.NewScanner(f)
				s.Buffer(buf, 16<<20)
				for s.Scan() {
					lines++
					sum += len(s.Bytes())
				}
				must(b, s.Err())
			})
			return lines, sum
		})
	})
}

// measure reports lines a second and allocations a line of one pass over the input.
func measure(b *testing.B, pass func() (lines, sum int)) {
	var before, after runtime.MemStats
	lines, sum := 0, 0
	runtime.ReadMemStats(&before)
	for b.Loop() {
		n, bytes := pass()
		lines += n
		sum += bytes
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds()/1e6, "Mlines/s")
	b.ReportMetric(float64(sum)/b.Elapsed().Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(lines), "mallocs/line")
	b.ReportMetric(float64(lines/b.N), "lines")
}

// goRoot is where Go's own source is, or "".
func goRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
