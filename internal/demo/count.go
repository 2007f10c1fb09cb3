package demo

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pattern is which files of the input are counted.
const pattern = "*.go"

// counted is the words of the input, by an independent count.
type counted struct {
	lines, total uint64
	words        map[string]uint64
}

// count counts every word of every matching file below dir: a word is a longest run of ASCII
// letters. It shares no code with the job, and is as simple as can be.
func count(ctx context.Context, dir string) (counted, error) {
	c := counted{words: map[string]uint64{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if match, err := filepath.Match(pattern, d.Name()); err != nil || !match || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		return c.file(path)
	})
	if err == nil && c.total == 0 {
		err = fmt.Errorf("no words in the files %s of %s", pattern, dir)
	}
	return c, err
}

func (c *counted) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		c.lines++
		for _, w := range strings.FieldsFunc(lines.Text(), notLetter) {
			c.words[w]++
			c.total++
		}
	}
	return lines.Err()
}

func notLetter(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') }

// readCounts reads the job's output: word,count in each visible part file.
func readCounts(dir string) (map[string]uint64, error) {
	parts, err := filepath.Glob(filepath.Join(dir, "part-*.csv"))
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("no part-*.csv in %s", dir)
	}
	got := map[string]uint64{}
	for _, path := range parts {
		if err := readPart(path, got); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return got, nil
}

func readPart(path string, into map[string]uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(f)
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if first {
			continue // the header
		}
		n, err := strconv.ParseUint(row[len(row)-1], 10, 64)
		if err != nil {
			return err
		}
		into[row[0]] += n // a word that stands in two files is counted twice, and so found
	}
}

// compare tells how much of want is missing from got, and how much too much it holds.
func compare(want counted, got map[string]uint64) Result {
	r := Result{Words: want.total, Distinct: uint64(len(want.words))}
	for w, n := range want.words {
		if g := got[w]; g < n {
			r.Lost += n - g
		} else {
			r.Duplicated += g - n
		}
	}
	for w, g := range got {
		if _, known := want.words[w]; !known {
			r.Duplicated += g
		}
	}
	return r
}
