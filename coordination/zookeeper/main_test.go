package zookeeper_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/internal/testensemble"
)

// ensemble is shared by all tests of the package, each on a cluster id of its own.
var ensemble *testensemble.Ensemble

func TestMain(m *testing.M) {
	code := testensemble.Shared(3, func(e *testensemble.Ensemble) int {
		ensemble = e
		return m.Run()
	})
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
