package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"github.com/perennial-io/perennial/connector"
)

const (
	defaultBlock = 256 << 10
	// readSize is the least room worth a read; with less left, a new block begins.
	readSize = 16 << 10
	// lookAhead is how much is read at once beyond a range, to end its last line.
	lookAhead = 4 << 10
)

// lineReader reads the lines of a split's parts, one part after the other.
//
// It reads into blocks, and a line is a part of one string per block, so there is no allocation
// per line. Bytes that were once read are never written again: text, a string, lies over them.
// Small files share a block. When it is full, the line that was begun moves to the next one.
//
//	block  [ lines handed out | not yet looked at | free ]
//	                          ^at                 ^len(text)
//
// Index i of the block is byte offset+i of the current file.
type lineReader struct {
	parts   parts
	maxLine int
	size    int // of a block

	block []byte // all of it, read or not
	text  string // over the part of block that was read
	at    int    // in text: where the next line begins

	file   *os.File // nil between two parts
	part   part
	offset int64
	ended  bool // the file has no byte after text
	skip   bool // the line at at began before the part: it is not ours
}

func newLineReader(s connector.Split, maxLine, block int) *lineReader {
	size := int(min(int64(block), s.To-s.From))
	return &lineReader{parts: partsOf(s), maxLine: maxLine, size: min(block, size+lookAhead)}
}

// Next reads from the disk when it has to, which does not count as waiting.
func (r *lineReader) Next(dst []string) (n int, err error) {
	for n < len(dst) && err == nil {
		if r.file == nil {
			err = r.open()
			continue
		}
		n += r.take(dst[n:])
		switch {
		case n == len(dst):
		case r.done():
			err = r.Close()
		case len(r.text)-r.at > r.maxLine:
			err = fmt.Errorf("read lines of %s: the line at byte %d is longer than %d bytes; is it a text file? (file.MaxLine sets the limit)",
				r.part.path, r.offset+int64(r.at), r.maxLine)
		case r.ended:
			dst[n] = r.lastLine()
			n++
		default:
			err = r.fill()
		}
	}
	return n, err
}

// open opens the file of the next part, or returns io.EOF. What it reads goes behind text.
func (r *lineReader) open() error {
	part, ok, err := r.parts.next()
	if err != nil {
		return err
	}
	if !ok {
		return io.EOF
	}
	file, err := os.Open(part.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read lines: %s was there when the job began, and is gone", part.path)
	}
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	r.file, r.part, r.at, r.ended = file, part, len(r.text), false
	// A line begins after a line end: whether one begins at from, the byte before tells.
	start := max(part.from-1, 0)
	r.skip = part.from > 0
	r.offset = start - int64(len(r.text))
	return nil
}

// Remaining is the rest of the part that is being read, and the parts after it.
func (r *lineReader) Remaining() connector.Split {
	rest := r.parts
	head, ok := r.begun()
	if !ok {
		var err error
		if head, _, err = rest.next(); err != nil { // which the reader of what is left will say
			return connector.Split{To: r.parts.bytes, Data: []byte(r.parts.list)}
		}
	}
	return rest.withHead(head)
}

// begun returns what is left of the part that is being read; ok is false when that is nothing.
func (r *lineReader) begun() (left part, ok bool) {
	if r.file == nil || r.done() {
		return part{}, false
	}
	left = r.part
	if !r.skip { // a line begins at at: the byte before it ends one, or it is the first of the file
		left.from = r.offset + int64(r.at)
	}
	return left, true
}

// take cuts off the whole lines that begin in the part. It stops at a line that is too long.
func (r *lineReader) take(dst []string) (n int) {
	text, at := r.text, r.at
	end := int(min(int64(len(text)), r.part.to-r.offset)) // lines must begin before it
	for n < len(dst) && at < end {
		length := strings.IndexByte(text[at:], '\n')
		if r.skip {
			if length < 0 {
				at = len(text)
				break
			}
			r.skip = false
			at += length + 1
			continue
		}
		if length < 0 || length > r.maxLine {
			break
		}
		line := text[at : at+length]
		at += length + 1
		if length > 0 && line[length-1] == '\r' {
			line = line[:length-1]
		}
		dst[n] = line
		n++
	}
	r.at = at
	return n
}

// done reports that no further line begins in the part.
func (r *lineReader) done() bool {
	return r.offset+int64(r.at) >= r.part.to || r.ended && r.at == len(r.text)
}

// lastLine cuts off what is left of a file that does not end with a line end.
func (r *lineReader) lastLine() string {
	line := strings.TrimSuffix(r.text[r.at:], "\r")
	r.at = len(r.text)
	return line
}

// fill reads on in the file: up to the end of the part, then a little at a time.
func (r *lineReader) fill() error {
	from := r.offset + int64(len(r.text))
	want := int(min(r.part.to-from, int64(r.size)))
	if want <= 0 {
		want = lookAhead
	}
	if len(r.block)-len(r.text) < min(want, readSize) {
		r.newBlock()
	}
	free := r.block[len(r.text):]
	n, err := r.file.ReadAt(free[:min(want, len(free))], from)
	r.text = unsafe.String(unsafe.SliceData(r.block), len(r.text)+n)
	if err == io.EOF {
		r.ended = true
		if from+int64(n) >= r.part.to {
			return nil
		}
		return fmt.Errorf("read lines: %s had at least %d bytes when the job began, and has %d now",
			r.part.path, r.part.to, from+int64(n))
	}
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	return nil
}

// newBlock moves the line that was begun to the front of a new block, which doubles for a long line.
func (r *lineReader) newBlock() {
	begun := r.text[r.at:]
	r.block = make([]byte, max(r.size, 2*len(begun)))
	n := copy(r.block, begun)
	r.text = unsafe.String(unsafe.SliceData(r.block), n)
	r.offset += int64(r.at)
	r.at = 0
}

// Ready is nil: a file never makes Next return nothing.
func (r *lineReader) Ready() <-chan struct{} { return nil }

// Close closes the file that is open, if any.
func (r *lineReader) Close() error {
	if r.file == nil {
		return nil
	}
	file := r.file
	r.file = nil
	if err := file.Close(); err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	return nil
}
