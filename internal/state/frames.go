package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// A state is written as a list of values: magic, then frames, each its length (4 bytes, little
// endian) and a batch of the values' codec, then a frame of length 0. The last one tells a state
// that ends from one that was cut off.

const (
	magic     = "PST\x01" // the last byte is the version of the format
	frameSize = 256 << 10 // a frame ends behind the value that reaches it
)

// ErrMalformed says that bytes are no state, or not all of it.
var ErrMalformed = errors.New("malformed state")

// Frames writes a state.
type Frames[T any] struct {
	to    io.Writer
	codec *record.Codec[T]
	buf   []byte
}

// NewFrames begins a state.
func NewFrames[T any](to io.Writer, codec *record.Codec[T]) (*Frames[T], error) {
	_, err := io.WriteString(to, magic)
	return &Frames[T]{to: to, codec: codec}, err
}

// Write adds values.
func (f *Frames[T]) Write(values []T) error {
	for len(values) > 0 {
		buf, n, err := f.codec.AppendUpTo(append(f.buf[:0], 0, 0, 0, 0), values, frameSize)
		if err != nil {
			return err
		}
		if len(buf)-4 > math.MaxUint32 {
			return fmt.Errorf("a value of %d bytes is too large for a state", len(buf))
		}
		binary.LittleEndian.PutUint32(buf, uint32(len(buf)-4))
		if _, err := f.to.Write(buf); err != nil {
			return err
		}
		f.buf, values = buf, values[n:]
	}
	return nil
}

// End ends the state: without it what was written is no state.
func (f *Frames[T]) End() error {
	_, err := f.to.Write([]byte{0, 0, 0, 0})
	return err
}

// Small returns the snapshot of a state that is encoded at once.
func Small[T any](name string, kind job.StateKind, codec *record.Codec[T], values []T) (Snapshot, error) {
	var buf bytes.Buffer
	f, err := NewFrames(&buf, codec)
	if err != nil {
		return Snapshot{}, err
	}
	if err := f.Write(values); err != nil {
		return Snapshot{}, err
	}
	if err := f.End(); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Handle: HandleOf(name, kind, codec), Data: buf.Bytes()}, nil
}

// Empty returns the snapshot of a state without entries: it names a state whose entries a backend has.
func Empty(t job.StateType) Snapshot {
	h := job.StateHandle{State: t.Name, Kind: t.Kind, Schema: t.Schema}
	return Snapshot{Handle: h, Data: []byte(magic + "\x00\x00\x00\x00")}
}

// Decoder is a record.Codec, or the record.Decoder of what was written under another schema.
type Decoder[T any] interface {
	Decode(frame []byte, dst []T) ([]T, error)
}

// ReadPiece is Read of a piece, whatever version of its type it was written with.
func ReadPiece[T any](piece Restored, codec *record.Codec[T], each func([]T) error) error {
	from, err := codec.From(piece.Handle.Schema)
	if err != nil {
		return err
	}
	return Read(piece.Data, from, each)
}

// Read calls each with the values of a state, some at a time; the slice is its own until it
// returns. It fails unless data is all of a state, and nothing else.
func Read[T any](data []byte, from Decoder[T], each func([]T) error) error {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		if last := len(magic) - 1; len(data) > last && string(data[:last]) == magic[:last] && data[last] > magic[last] {
			return fmt.Errorf("the state has format %d, of a newer release of Perennial, and this job was built with one that reads up to %d: build it with that release", data[last], magic[last])
		}
		return fmt.Errorf("%w: it does not begin as version %d does", ErrMalformed, magic[len(magic)-1])
	}
	var values []T
	for rest := data[len(magic):]; ; {
		if len(rest) < 4 {
			return fmt.Errorf("%w: it is cut off after %d bytes", ErrMalformed, len(data))
		}
		length := uint64(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
		switch {
		case length == 0 && len(rest) == 0:
			return nil
		case length == 0:
			return fmt.Errorf("%w: %d bytes follow its end", ErrMalformed, len(rest))
		case length > uint64(len(rest)):
			return fmt.Errorf("%w: a frame of %d bytes has only %d", ErrMalformed, length, len(rest))
		}
		var err error
		if values, err = from.Decode(rest[:length], values); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if len(values) == 0 {
			return fmt.Errorf("%w: an empty frame", ErrMalformed)
		}
		if err := each(values); err != nil {
			return err
		}
		rest = rest[length:]
	}
}
