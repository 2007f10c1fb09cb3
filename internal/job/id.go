package job

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// ID names a job for ever. The client makes it, and it is also the id of the
// request that submits the job, so that a submission sent twice is one job (R9).
// It is a UUID of version 7 (RFC 9562) written as 32 lower-case hex digits:
// ids sort by the time at which they were made, which lets a watermark refuse old ones.
type ID string

// NewID returns an ID of the present moment.
func NewID() ID {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on a supported system
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(time.Now().UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return ID(hex.EncodeToString(b[:]))
}

// ParseID checks that s is a whole job id.
func ParseID(s string) (ID, error) {
	if len(s) != 32 || strings.ToLower(s) != s {
		return "", fmt.Errorf("%q is no job id: expected 32 lower-case hex digits", s)
	}
	if _, err := hex.DecodeString(s); err != nil {
		return "", fmt.Errorf("%q is no job id: expected 32 lower-case hex digits", s)
	}
	return ID(s), nil
}

// Short returns the id's last eight digits, for names that people read.
// (The first digits are the time, which jobs of one minute share.)
func (id ID) Short() string {
	if len(id) < 8 {
		return string(id)
	}
	return string(id[len(id)-8:])
}

// Attempt counts the executions of a job's subtasks: 1, 2, … It only grows (I3).
type Attempt uint32

// Subtask names one parallel instance of a vertex.
type Subtask struct {
	Vertex int `json:"vertex"`
	Index  int `json:"index"`
}
