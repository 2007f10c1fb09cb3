package launch

import (
	"fmt"
	"os/exec"
	"syscall"

	"github.com/perennial-io/perennial/internal/daemon"
)

// become replaces this process by a command's.
func become(c daemon.Command) error {
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, c.Args, c.Env))
}
