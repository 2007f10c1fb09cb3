package jobmanager

import (
	"errors"
	"io"
	"syscall"
)

// isRefusal reports whether nobody listens at a dialed address.
func isRefusal(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// isEnd reports whether a peer has ended a connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
