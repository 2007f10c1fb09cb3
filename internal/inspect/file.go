package inspect

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// maxTail bounds how far from the end of a file its last lines are looked for, in bytes.
const maxTail = 4 << 20

// Read answers a Question about an open file. It fails only if the file cannot be read.
func Read(f *os.File, q Question) (Piece, error) {
	info, err := f.Stat()
	if err != nil {
		return Piece{}, err
	}
	if !info.Mode().IsRegular() {
		return Piece{}, fmt.Errorf("%s is no file with an end", f.Name())
	}
	p := Piece{Offset: q.Offset, Size: info.Size(), Path: f.Name()}
	if q.Offset > p.Size {
		p.Offset = 0
	}
	if q.Offset < 0 {
		if p.Offset, err = lastLines(f, p.Size, q.Lines); err != nil {
			return Piece{}, err
		}
	}
	p.Data = make([]byte, max(0, min(MaxPiece, p.Size-p.Offset)))
	n, err := f.ReadAt(p.Data, p.Offset)
	if err == io.EOF { //nolint:errorlint // as ReadAt returns it: the file has just become shorter
		err = nil
	}
	p.Data = p.Data[:n]
	return p, err
}

// lastLines is the offset at which the last n lines of a file begin. A line without an end is one.
func lastLines(r io.ReaderAt, size int64, n int) (int64, error) {
	const block = 32 << 10
	if n <= 0 {
		return size, nil
	}
	buf := make([]byte, block)
	for end := size; end > 0 && size-end < maxTail; {
		begin := max(0, end-block)
		part := buf[:end-begin]
		if _, err := r.ReadAt(part, begin); err != nil && err != io.EOF {
			return 0, err
		}
		if end == size && part[len(part)-1] == '\n' {
			part = part[:len(part)-1] // it ends the last line, and begins none
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			if n--; n == 0 {
				return begin + int64(i) + 1, nil
			}
			part = part[:i]
		}
		end = begin
	}
	return max(0, size-maxTail), nil
}
