// Command run explores every model within its larger bounds, and prints one table. It fails if a rule is
// broken, or if something that should happen never does.
package main

import (
	"os"

	"github.com/perennial-io/perennial/internal/model"
)

func main() {
	if !model.Run(os.Stdout, os.Stderr) {
		os.Exit(1)
	}
}
