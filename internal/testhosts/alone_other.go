//go:build !linux

package testhosts

import "fmt"

// Alone fails: only Linux has networks of a process's own.
func Alone() error { return fmt.Errorf("%w: this is not Linux", ErrMissing) }
