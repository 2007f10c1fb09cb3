package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/stream"
)

func TestSplitWords(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"", nil},
		{" \t12_", nil},
		{"word", []string{"word"}},
		{"The cat, the hat.", []string{"The", "cat", "the", "hat"}},
		{"x2y z_", []string{"x", "y", "z"}},
		{"naïve @A[Z`a{z", []string{"na", "ve", "A", "Z", "a", "z"}},
	}
	for _, test := range tests {
		var got []string
		splitWords(test.line, func(w string) { got = append(got, w) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
	}
}

// The whole job, in several degrees of parallelism, against a count of its own.
func TestWordCount(t *testing.T) {
	dir := t.TempDir()
	want := writeTexts(t, dir)
	for _, parallelism := range []string{"1", "2", "5"} {
		out := filepath.Join(t.TempDir(), "out")
		args := []string{"--input", dir, "--output", out, "--match", "*.txt", "-p", parallelism}
		if err := stream.Run(context.Background(), "wordcount", args, build); err != nil {
			t.Fatal(err)
		}
		if got := readCounts(t, out); !maps.Equal(got, want) {
			t.Errorf("parallelism %s: %d words, want %d", parallelism, len(got), len(want))
		}
	}
}

// writeTexts writes files of random words, and counts these as it goes.
func writeTexts(t *testing.T, dir string) map[string]uint64 {
	rnd := rand.New(rand.NewPCG(1, 2))
	counts := map[string]uint64{}
	for i := range 200 {
		var text strings.Builder
		for range rnd.IntN(2000) {
			word := strings.Repeat(string(rune('a'+rnd.IntN(26))), 1+rnd.IntN(20))
			text.WriteString(word)
			text.WriteString([]string{" ", "\n", "\r\n", ", ", "42"}[rnd.IntN(5)])
			counts[word]++
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".txt")), []byte(text.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other.log"), []byte("unread"), 0o666); err != nil {
		t.Fatal(err)
	}
	return counts
}

func readCounts(t testing.TB, dir string) map[string]uint64 {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "part-*.csv"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no output in %s: %v", dir, err)
	}
	counts := map[string]uint64{}
	for _, part := range parts {
		text, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err != nil || len(rows) == 0 || !slices.Equal(rows[0], []string{"Word", "Count"}) {
			t.Fatalf("%s: %v, header missing or wrong", part, err)
		}
		for _, row := range rows[1:] {
			n, err := strconv.ParseUint(row[1], 10, 64)
			if _, twice := counts[row[0]]; err != nil || twice {
				t.Fatalf("%s: row %q: %v, or the word is there twice", part, row, err)
			}
			counts[row[0]] = n
		}
	}
	return counts
}

// benchmarkText is the source of Go's own library as one file.
func benchmarkText(b *testing.B) string {
	paths, err := filepath.Glob(filepath.Join(goRoot(), "src", "*", "*.go"))
	if err != nil || len(paths) == 0 {
		b.Skipf("no source of Go's library: %v", err)
	}
	path := filepath.Join(b.TempDir(), "input.txt")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(text); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

func BenchmarkJob(b *testing.B) {
	input := benchmarkText(b)
	var words uint64
	for b.Loop() {
		out := filepath.Join(b.TempDir(), "out")
		if err := stream.Run(context.Background(), "wordcount", []string{"--input", input, "--output", out}, build); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		for _, n := range readCounts(b, out) {
			words += n
		}
		if err := os.RemoveAll(out); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(words)/b.Elapsed().Seconds()/1e6, "Mwords/s")
}

// BenchmarkLoop does the same work by hand, output left out.
func BenchmarkLoop(b *testing.B) {
	input := benchmarkText(b)
	var words uint64
	for b.Loop() {
		f, err := os.Open(input)
		if err != nil {
			b.Fatal(err)
		}
		counts := map[string]*uint64{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			line := lines.Bytes()
			for begin, i := 0, 0; i <= len(line); i++ {
				if i < len(line) && isLetter(line[i]) {
					continue
				}
				if i > begin {
					n := counts[string(line[begin:i])]
					if n == nil {
						n = new(uint64)
						counts[string(line[begin:i])] = n
					}
					*n++
					words++
				}
				begin = i + 1
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(words)/b.Elapsed().Seconds()/1e6, "Mwords/s")
}

// goRoot is where Go's own source is, or "".
func goRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
