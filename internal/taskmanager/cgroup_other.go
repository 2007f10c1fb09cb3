//go:build !linux

package taskmanager

import (
	"errors"

	"github.com/perennial-io/perennial/internal/job"
)

// cgroups are not to be had here.
type cgroups struct{ dir string }

func openCgroups() (*cgroups, error) { return nil, errors.New("this system has no control groups") }

func (g *cgroups) limit(job.ID, int64, int) error        { return nil }
func (g *cgroups) place(attemptKey, int) (string, error) { return "", nil }
func (g *cgroups) remove(string)                         {}
func (g *cgroups) close()                                {}

func killsIn(string) uint64   { return 0 }
func killedForMemory() uint64 { return 0 }
func memoryHere() int64       { return 0 }
