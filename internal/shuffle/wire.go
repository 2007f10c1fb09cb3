package shuffle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// After the preamble, both ends send frames: a header of 17 bytes, big endian, and a payload.
//
//	kind (1) · channel (4), a number that OPEN gives a channel on this connection · seq (8) · payload's length (4)
//
// From the producers:
//
//	open    names a channel: job (32), edge, from, to, attempt (4 each), credits (1)
//	data    seq; a batch, as record.Codec encodes it
//	event   seq; kind (1), value (8)
//
// From the consumers:
//
//	accept  seq is the last frame that has come, of any earlier connection: go on after it; payload: credit (8)
//	refuse  payload: 1 if for good, else 0: ask again (1), reason
//	credit  so many frames of the channel have been released, since its beginning
//
// Data and events are numbered together from 1. There is no checksum beside TCP's: what is carried is
// checked for shape as it is decoded, and a job's output is not made safer by one hop's checksum.
type kind uint8

const (
	kindOpen kind = iota + 1
	kindData
	kindEvent
	kindAccept
	kindRefuse
	kindCredit
)

func (k kind) String() string {
	names := [...]string{"none", "open", "data", "event", "accept", "refuse", "credit"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	headerSize = 17
	openSize   = 32 + 4*4 + 1
	eventSize  = 9

	// softFrame is the payload size at which a batch of large records is cut into several frames.
	softFrame = 256 << 10
	// maxFrame bounds a payload: a single larger record cannot be carried.
	maxFrame = 64 << 20
	// maxReason bounds the text of a refusal.
	maxReason = 1 << 10
	// keptBuffer is the largest memory that an unused buffer keeps.
	keptBuffer = 1 << 20
)

type header struct {
	kind    kind
	channel uint32
	seq     uint64
	length  uint32
}

func (h header) appendTo(b []byte) []byte {
	b = append(b, byte(h.kind))
	b = binary.BigEndian.AppendUint32(b, h.channel)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	return binary.BigEndian.AppendUint32(b, h.length)
}

// readHeader reads a header and checks its length against the most that its kind may have. It
// returns io.EOF when the connection ended between frames.
func readHeader(r io.Reader, buf *[headerSize]byte) (header, error) {
	if _, err := io.ReadFull(r, buf[:]); err != nil {
		return header{}, err
	}
	h := header{
		kind:    kind(buf[0]),
		channel: binary.BigEndian.Uint32(buf[1:]),
		seq:     binary.BigEndian.Uint64(buf[5:]),
		length:  binary.BigEndian.Uint32(buf[13:]),
	}
	least, most := payloadSize(h.kind)
	if h.length < least || h.length > most {
		return header{}, fmt.Errorf("malformed frame: %v with a payload of %d bytes; expected %d to %d", h.kind, h.length, least, most)
	}
	return h, nil
}

func payloadSize(k kind) (least, most uint32) {
	switch k {
	case kindOpen:
		return openSize, openSize
	case kindData:
		return 4, maxFrame
	case kindEvent:
		return eventSize, eventSize
	case kindAccept:
		return 8, 8
	case kindRefuse:
		return 1, 1 + maxReason
	case kindCredit:
		return 0, 0
	}
	return 1, 0 // no length is right
}

// readPayload reads n bytes into buf's memory, which grows with what comes, not with what a
// length field claims.
func readPayload(r io.Reader, buf []byte, n int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < n {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(n, max(2*cap(buf), 64<<10)))
			copy(grown, buf)
			buf = grown
		}
		at := len(buf)
		buf = buf[:min(n, cap(buf))]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return buf[:at], noEOF(err)
		}
	}
	return buf, nil
}

// noEOF: an end inside a frame is not the end of the stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func appendOpen(b []byte, id uint32, ch Channel, credits int) []byte {
	b = header{kind: kindOpen, channel: id, length: openSize}.appendTo(b)
	b = append(b, ch.Job...)
	for _, v := range []uint32{uint32(ch.Edge), uint32(ch.From), uint32(ch.To), uint32(ch.Attempt)} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return append(b, byte(credits))
}

func parseOpen(b []byte) (ch Channel, credits int, err error) {
	ch.Job = job.ID(b[:32])
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[32+4*i:]) }
	ch.Edge, ch.From, ch.To, ch.Attempt = int(word(0)), int(word(1)), int(word(2)), job.Attempt(word(3))
	credits = int(b[openSize-1])
	if credits < 1 || credits > MaxCredits {
		return ch, 0, fmt.Errorf("malformed frame: a channel with %d credits; expected 1 to %d", credits, MaxCredits)
	}
	return ch, credits, nil
}

func appendEvent(b []byte, e record.Event) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(e.Kind)), uint64(e.Value))
}

func parseEvent(b []byte) (record.Event, error) {
	e := record.Event{Kind: record.EventKind(b[0]), Value: int64(binary.BigEndian.Uint64(b[1:]))}
	if !e.Kind.Known() {
		return e, fmt.Errorf("malformed frame: %v", e)
	}
	return e, nil
}
