package s3_test

import (
	"os"
	"testing"

	"github.com/perennial-io/perennial/internal/storage/objects"
	"github.com/perennial-io/perennial/internal/storage/s3"
	"github.com/perennial-io/perennial/internal/storage/storagetest"
	"github.com/perennial-io/perennial/internal/tests3"
)

func TestMain(m *testing.M) {
	tests3.Setenv()
	os.Exit(m.Run())
}

// smallest is the size of the smallest part that a server takes.
const smallest = 5 << 20

func TestStore(t *testing.T) {
	server := tests3.Start(t)
	storagetest.Run(t, func(t *testing.T) objects.Store { return at(t, server, s3.Config{Prefix: prefix(t)}) })
}
