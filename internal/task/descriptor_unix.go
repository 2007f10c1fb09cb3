//go:build unix

package task

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// receiveConn takes over the next connection that comes over data: one byte, with one descriptor.
func receiveConn(data net.Conn) (net.Conn, error) {
	u, ok := data.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("descriptors come over a Unix socket, not over a %T", data)
	}
	one, rights := make([]byte, 1), make([]byte, syscall.CmsgSpace(4))
	n, rn, _, _, err := u.ReadMsgUnix(one, rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("the TaskManager has closed it")
	}
	descriptor, err := parseRights(rights[:rn])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotTaken, err)
	}
	f := os.NewFile(uintptr(descriptor), "data connection")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotTaken, err)
	}
	return c, nil
}

func parseRights(rights []byte) (descriptor int, err error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return 0, err
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return 0, errors.New("a byte came without a descriptor")
}
