package shuffle

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// PreambleSize is the length in bytes of what opens a data connection.
const PreambleSize = len(preambleMagic) + 32 + 4

const (
	preambleMagic   = "PRNLdat1"
	preambleTimeout = 5 * time.Second
)

// WritePreamble says, as the first thing on a data connection, which attempt of which job it is for. It
// takes at most some seconds.
func WritePreamble(c net.Conn, id job.ID, attempt job.Attempt) error {
	if _, err := job.ParseID(string(id)); err != nil {
		return err
	}
	b := make([]byte, 0, PreambleSize)
	b = append(b, preambleMagic...)
	b = append(b, id...)
	b = binary.BigEndian.AppendUint32(b, uint32(attempt))
	if err := c.SetWriteDeadline(time.Now().Add(preambleTimeout)); err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	return c.SetWriteDeadline(time.Time{})
}

// ReadPreamble reads exactly a preamble, so that the rest of the connection can be handed to the task
// process that it names, whose Exchange.Accept takes it. It fails on anything else and when
// the preamble has not come within some seconds; the connection is then to be closed.
func ReadPreamble(c net.Conn) (job.ID, job.Attempt, error) {
	if err := c.SetReadDeadline(time.Now().Add(preambleTimeout)); err != nil {
		return "", 0, err
	}
	var b [PreambleSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return "", 0, fmt.Errorf("read the preamble of a data connection: %w", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return "", 0, err
	}
	n := len(preambleMagic)
	if string(b[:n]) != preambleMagic {
		return "", 0, fmt.Errorf("not a data connection: it began with %q", b[:n])
	}
	id, err := job.ParseID(string(b[n : n+32]))
	if err != nil {
		return "", 0, err
	}
	return id, job.Attempt(binary.BigEndian.Uint32(b[n+32:])), nil
}
