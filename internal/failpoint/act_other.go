//go:build !unix

package failpoint

import "os"

// act ends the process: where there are no signals, none can be stopped.
func act(Action) { os.Exit(137) }
