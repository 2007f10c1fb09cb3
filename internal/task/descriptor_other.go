//go:build !unix

package task

import (
	"errors"
	"net"
)

// receiveConn exists where processes can hand over descriptors. Elsewhere jobs run by hand only.
func receiveConn(net.Conn) (net.Conn, error) {
	return nil, errors.New("task processes need a Unix system")
}
