package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/output"
)

// writeSize is how many bytes are gathered before they are written.
const writeSize = 128 << 10

// partFile is one hidden file while it is written.
type partFile struct {
	out    connector.Output
	file   *os.File  // nil: it is closed for a while, since others are open
	text   []byte    // not yet written
	size   int64     // of all, text included
	filled time.Time // when its first record came; zero: it has none
	used   uint64    // when it was last written to, as the writer counts
}

// newPart begins a file, which must not be there.
func newPart(out connector.Output, header []byte) (*partFile, error) {
	file, err := os.OpenFile(out.Temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("output: %s is there already; do two sinks of the job write to one directory?", out.Temp)
	}
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	return &partFile{out: out, file: file, text: append([]byte(nil), header...), size: int64(len(header))}, nil
}

// flush writes the gathered text to the file. A process that dies loses nothing of that, a host
// that dies may.
func (p *partFile) flush() error {
	if len(p.text) == 0 {
		return nil
	}
	_, err := p.file.Write(p.text)
	p.text = p.text[:0]
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// suspend closes the file; resume opens it again.
func (p *partFile) suspend() error {
	err := p.flush()
	if e := p.file.Close(); err == nil && e != nil {
		err = fmt.Errorf("write output: %w", e)
	}
	p.file, p.text = nil, nil
	return err
}

func (p *partFile) resume() (err error) {
	if p.file, err = os.OpenFile(p.out.Temp, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		p.file = nil
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// end makes an open file and its hidden name durable, and closes it.
func (p *partFile) end() error {
	err := p.flush()
	if err == nil {
		err = p.file.Sync()
	}
	if err == nil {
		err = p.file.Close()
		p.file = nil
	}
	if err == nil {
		err = output.SyncDir(filepath.Dir(p.out.Temp))
	}
	if err != nil {
		return fmt.Errorf("finish output: %w", err)
	}
	return nil
}

// abort removes the file.
func (p *partFile) abort() error {
	var closing error
	if p.file != nil {
		if closing = p.file.Close(); errors.Is(closing, os.ErrClosed) {
			closing = nil
		}
		p.file = nil
	}
	return errors.Join(closing, remove(p.out))
}

// remove removes a hidden file, if it is there.
func remove(o connector.Output) error {
	if err := os.Remove(o.Temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
