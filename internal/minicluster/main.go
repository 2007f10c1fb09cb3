package minicluster

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/stream"
)

// Jobs are the jobs of a test binary, by the names that Cluster.Submit takes.
type Jobs map[string]func(*stream.Env)

// jobFlag is the argument that tells a task process which of the Jobs it is of.
const jobFlag = "job"

// Main is the TestMain of a package whose tests submit jobs. The test binary is also the job
// binary: started as such it runs the job that its arguments name, and no tests. Otherwise Main
// runs the tests, looks for goroutines that they left behind, and exits.
func Main(m *testing.M, jobs Jobs) {
	if os.Getenv("PERENNIAL_ROLE") == "" {
		if os.Getenv("GORACE") == "" { // else each task process lingers for a second under the race detector
			_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		}
		goleak.VerifyTestMain(m)
		return
	}
	name := ""
	if i := slices.Index(os.Args, "--"+jobFlag); i >= 0 && i+1 < len(os.Args) {
		name = os.Args[i+1]
	}
	build := jobs[name]
	if build == nil {
		fmt.Fprintf(os.Stderr, "this test binary has no job %q\n", name)
		os.Exit(2)
	}
	stream.Main(name, func(env *stream.Env) {
		env.Arg(jobFlag)
		build(env)
	})
}
