//go:build !unix

package taskmanager

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// errNotUnix is what a TaskManager fails with here. The package compiles so that the perennial
// command, which has the client in it, does.
var errNotUnix = errors.New("a TaskManager needs Linux or another Unix; this system can only submit jobs to one")

func socketPair(string) (*net.UnixConn, *os.File, error) { return nil, nil, errNotUnix }
func handOver(*net.UnixConn, net.Conn) error             { return errNotUnix }
func lockFile(*os.File) (bool, error)                    { return false, errNotUnix }
func killGroup(int)                                      {}
func childAttr() *syscall.SysProcAttr                    { return nil }
func (c *child) AwaitExit()                              { c.waited = c.cmd.Wait() }
func (c *child) wait() error                             { return c.waited }
func bootID() string                                     { return "" }
func birth(int) (string, error)                          { return "", errNotUnix }
