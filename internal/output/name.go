package output

import (
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/perennial-io/perennial/internal/job"
)

// Name is what the name of a part file tells. While it is written, a part is called
//
//	.part-<subtask>-<attempt>.<ext>.inprogress-<short id of the job>-<hash of the sink's name>
//
// and part-<subtask>-<attempt>.<ext> once it is visible. The attempt is in the name so that
// two attempts of one subtask never write, or publish, one file (I5). An attempt begins a new file
// after each checkpoint: its later ones are called part-<subtask>-<attempt>-<sequence>.<ext>.
type Name struct {
	Subtask  int
	Attempt  job.Attempt
	Sequence int    // 0 for the first file of the attempt
	Ext      string // without the dot
	Job      string // job.ID.Short of the writing job
	Sink     string // a hash of the name of the writing operator (SinkHash); "" in the name of a visible file
}

// SinkHash is short, without a dash, and most likely another for another operator of a job.
func SinkHash(operator string) string {
	h := fnv.New32a()
	h.Write([]byte(operator))
	return fmt.Sprintf("%08x", h.Sum32())
}

const (
	visiblePrefix = "part-"
	hiddenPrefix  = ".part-"
	inProgress    = ".inprogress-"
)

// Visible is the file name under which the part is published.
func (n Name) Visible() string {
	if n.Sequence == 0 {
		return fmt.Sprintf("%s%05d-%d.%s", visiblePrefix, n.Subtask, n.Attempt, n.Ext)
	}
	return fmt.Sprintf("%s%05d-%d-%d.%s", visiblePrefix, n.Subtask, n.Attempt, n.Sequence, n.Ext)
}

// Hidden is the file name under which the part is written.
func (n Name) Hidden() string {
	return "." + n.Visible() + inProgress + n.Job + "-" + n.Sink
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
	visible, writer, found := strings.Cut(name[1:], inProgress)
	short, sink, told := strings.Cut(writer, "-")
	if !found || !told || short == "" {
		return Name{}, false
	}
	if n, ok = ParseVisible(visible); !ok {
		return Name{}, false
	}
	n.Job, n.Sink = short, sink
	return n, true
}

// ParseVisible reads a name that Visible made; ok is false for every other name.
func ParseVisible(name string) (n Name, ok bool) {
	rest, found := strings.CutPrefix(name, visiblePrefix)
	if !found {
		return Name{}, false
	}
	numbers, ext, _ := strings.Cut(rest, ".")
	if ext == "" {
		return Name{}, false
	}
	if n, ok = parseNumbers(numbers); !ok {
		return Name{}, false
	}
	n.Ext = ext
	if n.Visible() != name { // other zeros than Visible writes
		return Name{}, false
	}
	return n, true
}

// parseNumbers reads <subtask>-<attempt> or <subtask>-<attempt>-<sequence>.
func parseNumbers(s string) (n Name, ok bool) {
	subtask, rest, _ := strings.Cut(s, "-")
	attempt, sequence, later := strings.Cut(rest, "-")
	if !later {
		sequence = "0"
	}
	u, err1 := strconv.ParseUint(subtask, 10, 31)
	a, err2 := strconv.ParseUint(attempt, 10, 32)
	q, err3 := strconv.ParseUint(sequence, 10, 31)
	return Name{Subtask: int(u), Attempt: job.Attempt(a), Sequence: int(q)}, err1 == nil && err2 == nil && err3 == nil
}
