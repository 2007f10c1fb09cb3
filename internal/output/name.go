package output

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
)

// Name is what the name of a part file tells. While it is written, a part is called
//
//	.part-<subtask>-<attempt>.<ext>.inprogress-<short id of the job>
//
// and part-<subtask>-<attempt>.<ext> once it is visible. The attempt is in the name so that
// two attempts of one subtask never write, or publish, one file (I5).
type Name struct {
	Subtask int
	Attempt job.Attempt
	Ext     string // without the dot
	Job     string // job.ID.Short of the writing job
}

const (
	visiblePrefix = "part-"
	hiddenPrefix  = ".part-"
	inProgress    = ".inprogress-"
)

// Visible is the file name under which the part is published.
func (n Name) Visible() string {
	return fmt.Sprintf("%s%05d-%d.%s", visiblePrefix, n.Subtask, n.Attempt, n.Ext)
}

// Hidden is the file name under which the part is written.
func (n Name) Hidden() string {
	return "." + n.Visible() + inProgress + n.Job
}

// In returns both names as paths in dir, which must be absolute.
func (n Name) In(dir string) job.Output {
	return job.Output{Temp: filepath.Join(dir, n.Hidden()), Final: filepath.Join(dir, n.Visible())}
}

// ParseHidden reads a name that Hidden made; ok is false for every other name.
func ParseHidden(name string) (n Name, ok bool) {
	if !strings.HasPrefix(name, hiddenPrefix) {
		return Name{}, false
	}
	visible, short, found := strings.Cut(name[1:], inProgress)
	if !found || short == "" {
		return Name{}, false
	}
	n, ok = ParseVisible(visible)
	n.Job = short
	return n, ok
}

// ParseVisible reads a name that Visible made; ok is false for every other name.
func ParseVisible(name string) (n Name, ok bool) {
	rest, found := strings.CutPrefix(name, visiblePrefix)
	if !found {
		return Name{}, false
	}
	numbers, ext, found := strings.Cut(rest, ".")
	if !found || ext == "" {
		return Name{}, false
	}
	subtask, attempt, found := strings.Cut(numbers, "-")
	if !found {
		return Name{}, false
	}
	s, err1 := strconv.ParseUint(subtask, 10, 31)
	a, err2 := strconv.ParseUint(attempt, 10, 32)
	if err1 != nil || err2 != nil {
		return Name{}, false
	}
	return Name{Subtask: int(s), Attempt: job.Attempt(a), Ext: ext}, true
}
