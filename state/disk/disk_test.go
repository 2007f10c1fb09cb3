package disk

import (
	"testing"

	"github.com/perennial-io/perennial/internal/state/statetest"
)

func TestStore(t *testing.T) { statetest.Run(t, Store(Directory(t.TempDir()))) }
