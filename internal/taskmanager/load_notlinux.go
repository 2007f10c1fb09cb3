//go:build !linux

package taskmanager

import "github.com/perennial-io/perennial/internal/rpc"

// measure would read /proc.
func measure([]int) (load rpc.Load, known bool) { return load, false }
