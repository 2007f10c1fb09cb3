package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	fuzzNamed  = regexp.MustCompile("`([^`]+)` (Fuzz\\w+(?:, Fuzz\\w+)*)")
)

// TestFuzzTargets: the table in docs/testing.md has each target, with the package that it is in.
func TestFuzzTargets(t *testing.T) {
	there, named := fuzzTargets(t), map[string]bool{}
	page, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fuzzNamed.FindAllStringSubmatch(string(page), -1) {
		for _, target := range strings.Split(m[2], ", ") {
			named[m[1]+" "+target] = true
		}
	}
	for target := range there {
		if !named[target] {
			t.Errorf("docs/testing.md does not have %s", target)
		}
	}
	for target := range named {
		if !there[target] {
			t.Errorf("docs/testing.md has %s, which is not there", target)
		}
	}
}

// fuzzTargets are all of the repository, each behind its package's directory.
func fuzzTargets(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && e.Name() != "..":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range fuzzTarget.FindAllStringSubmatch(string(text), -1) {
			all[filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), filepath.Join("..", "..")+string(filepath.Separator)))+" "+m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
