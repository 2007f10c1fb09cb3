package shuffle

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// PreambleSize is the length in bytes of what opens a data connection: the magic, the job id as 32 hex digits, the
// region and the attempt in 4 bytes each, big endian.
const PreambleSize = len(preambleMagic) + 32 + 4 + 4

const (
	preambleMagic   = "PRNLdat2"
	preambleTimeout = 5 * time.Second
)

// Preamble is the first thing on a data connection: the region of a job, and which attempt of it, that the
// connection is for.
type Preamble struct {
	Job     job.ID
	Region  int // as in rpc.Deploy
	Attempt job.Attempt
}

// WritePreamble says what a data connection is for. It takes at most some seconds.
func WritePreamble(c net.Conn, p Preamble) error {
	if _, err := job.ParseID(string(p.Job)); err != nil {
		return err
	}
	b := make([]byte, 0, PreambleSize)
	b = append(b, preambleMagic...)
	b = append(b, p.Job...)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Region))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Attempt))
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
func ReadPreamble(c net.Conn) (p Preamble, err error) {
	if err := c.SetReadDeadline(time.Now().Add(preambleTimeout)); err != nil {
		return p, err
	}
	var b [PreambleSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return p, fmt.Errorf("read the preamble of a data connection: %w", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return p, err
	}
	n := len(preambleMagic)
	if string(b[:n]) != preambleMagic {
		return p, fmt.Errorf("not a data connection: it began with %q", b[:n])
	}
	p.Job, err = job.ParseID(string(b[n : n+32]))
	p.Region = int(binary.BigEndian.Uint32(b[n+32:]))
	p.Attempt = job.Attempt(binary.BigEndian.Uint32(b[n+36:]))
	return p, err
}
