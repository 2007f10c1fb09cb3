//go:build !linux

package testensemble

import "syscall"

// dieWithParent does nothing here: without Close, servers outlive a killed process.
func dieWithParent() *syscall.SysProcAttr { return nil }
