package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/chaos"
)

// faultRows is how many rows the matrix of faults has.
const faultRows = 33

var (
	faultTests   = regexp.MustCompile("`([^`]+\\.go): ([^`]+)`")
	faultNemesis = regexp.MustCompile(`nemesis (\*[^*]+\*(?:, \*[^*]+\*)*)`)
)

// TestFaults: docs/faults.md has every row once, and what it names is there.
func TestFaults(t *testing.T) {
	page, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	named := map[string][]int{} // in which rows
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, " | ")
		n, err := strconv.Atoi(strings.TrimPrefix(cells[0], "| "))
		if err != nil {
			continue
		}
		if n != next || len(cells) != 6 {
			t.Errorf("row %d of %d cells stands where row %d of 6 cells should", n, len(cells), next)
			return
		}
		next++
		t.Run(strconv.Itoa(n), func(t *testing.T) { checkFault(t, n, cells[4], named) })
	}
	if next != faultRows+1 {
		t.Errorf("%d rows, expected %d", next-1, faultRows)
	}
	for _, name := range chaos.Faults() {
		switch row := chaos.RowOf(name); {
		case row == 0 && named[name] != nil:
			t.Errorf("the fault %q of the nemesis is of no row, and the rows %v name it", name, named[name])
		case row != 0 && !slices.Contains(named[name], row):
			t.Errorf("the fault %q of the nemesis is of row %d; %v name it", name, row, named[name])
		}
	}
}

// checkFault looks for what a row names.
func checkFault(t *testing.T, row int, where string, named map[string][]int) {
	found := 0
	for _, m := range faultTests.FindAllStringSubmatch(where, -1) {
		text, err := os.ReadFile(filepath.Join("../..", m[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, test := range strings.Split(m[2], ", ") {
			found++
			name, part, _ := strings.Cut(test, "/")
			defined := strings.Contains(string(text), "func "+name+"(") || strings.Contains(string(text), ", "+name+"}") // of a suite's table
			if !defined || !strings.Contains(string(text), part) {
				t.Errorf("%s has no test %s", m[1], test)
			}
		}
	}
	for _, m := range faultNemesis.FindAllStringSubmatch(where, -1) {
		for _, name := range strings.Split(m[1], ", ") {
			found++
			name = strings.Trim(name, "*")
			named[name] = append(named[name], row)
			if !slices.Contains(chaos.Faults(), name) {
				t.Errorf("the nemesis has no fault %q", name)
			}
		}
	}
	if found == 0 {
		t.Errorf("names nothing: %s", where)
	}
}
