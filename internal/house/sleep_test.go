package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A test that sleeps is slow when it is right and wrong when the machine is slow. Wait for a
// condition, or use testing/synctest, whose sleeps take no time; those files are told apart by
// their import.
var sleep = regexp.MustCompile(`\btime\.Sleep\(`)

func TestTestsDoNotSleep(t *testing.T) {
	eachGoFile(t, func(path, text string) {
		if strings.HasSuffix(path, "_test.go") && sleep.MatchString(text) && !strings.Contains(text, `"testing/synctest"`) && !strings.HasSuffix(path, "sleep_test.go") {
			t.Errorf("%s sleeps: wait for a condition instead, or use testing/synctest", path)
		}
	})
}

// TestNoClock: what is pure is told the time.
func TestNoClock(t *testing.T) {
	clock := regexp.MustCompile(`\btime\.(Now|Since|Until|After|NewTimer|NewTicker|Tick)\(`)
	checked := 0
	eachGoFile(t, func(path, text string) {
		if strings.Contains(filepath.ToSlash(path), "internal/jobmanager/execution/") && !strings.HasSuffix(path, "_test.go") {
			checked++
			if clock.MatchString(text) {
				t.Errorf("%s reads a clock: an event carries the time", path)
			}
		}
	})
	if checked == 0 {
		t.Error("found no file of internal/jobmanager/execution")
	}
}

func eachGoFile(t *testing.T, do func(path, text string)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			if d != nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 {
				return filepath.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(path)
		files++
		do(path, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("found no files")
	}
}
