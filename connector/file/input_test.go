package file

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhichFilesAreRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*") // no pattern, as it is not part of the path given
	for _, name := range []string{
		"a.go", "b.txt", "c/d.go", "c/e/f.go", "c/.hidden.go", ".git/g.go", ".h.go",
		"out/.part-00000-1.csv.inprogress-0a1b2c3d", "z/a[1].txt",
	} {
		writeFile(t, filepath.Join(dir, name), []byte(name+"\n"))
	}
	for link, target := range map[string]string{"link": "c", "c/link.go": "d.go", "filelink": "b.txt"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		path, match string
		want        string
	}{
		{".", "", "a.go b.txt c/d.go c/e/f.go z/a[1].txt"},
		{".", "*.go", "a.go c/d.go c/e/f.go"},
		{"a.go", "", "a.go"},
		{"a.go", "*.txt", "a.go"}, // Match is for directories
		{"filelink", "", "b.txt"},
		{"link", "", "c/d.go c/e/f.go"},
		{"*.go", "", "a.go"},
		{".*.go", "", ".h.go"},
		{"c*", "", "c/d.go c/e/f.go"},
		{"?.*", "", "a.go b.txt"},
		{"z/a[1].txt", "", "z/a[1].txt"}, // a file of this very name, though a pattern too
		{".h.go", "", ".h.go"},
		{filepath.Join(dir, "c"), "", "c/d.go c/e/f.go"},
	}
	for _, test := range tests {
		src := Lines(test.path, Match(test.match))
		if err := src.(lines).Check(newContext(dir)); err != nil {
			t.Errorf("Check of %q: %v", test.path, err)
		}
		got, err := readAll(newContext(dir), src, 10)
		if want := strings.Fields(test.want); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q matching %q: %q, %v, want %q", test.path, test.match, got, err, want)
		}
	}
}

func TestInputThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.txt"), nil)
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	const hint = "a relative path starts in the directory where the job was submitted"
	tests := []struct {
		path    string
		options []Option
		want    []string
	}{
		{"", nil, []string{"no path given"}},
		{"no/such", nil, []string{`"no/such"`, filepath.Join(dir, "no/such"), hint}},
		{"/no/such", nil, []string{"there is no /no/such"}},
		{"*.go", nil, []string{"no file to read at " + filepath.Join(dir, "*.go"), hint}},
		{"[", nil, []string{`"["`, "syntax error in pattern"}},
		{"empty", nil, []string{"no file to read at " + filepath.Join(dir, "empty")}},
		{".", []Option{Match("*.go")}, []string{`no file matches "*.go"`, dir}},
		{".", []Option{Match("[")}, []string{`"["`, "syntax error in pattern"}},
		{"/dev/null", nil, []string{"/dev/null is neither a file nor a directory"}},
		{"a.txt", []Option{MaxLine(0)}, []string{"longest line of 0 bytes"}},
		{"a.txt", []Option{SplitSize(-1)}, []string{"split size of -1 bytes"}},
	}
	for _, test := range tests {
		src := Lines(test.path, test.options...)
		err := src.(lines).Check(newContext(dir))
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Check of %q: %v, want it to say %q", test.path, err, want)
			}
		}
		if _, again := splitsOf(newContext(dir), src); again == nil || err != nil && again.Error() != err.Error() {
			t.Errorf("Splits of %q: %v, want what Check says", test.path, again)
		}
	}
}

func TestDirectoryThatMayNotBeRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := splitsOf(newContext(dir), Lines(".")); err == nil || !strings.Contains(err.Error(), "closed: permission denied") {
		t.Errorf("error %v", err)
	}
}
