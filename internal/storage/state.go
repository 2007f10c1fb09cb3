package storage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/perennial-io/perennial/internal/checkpoint"
	"github.com/perennial-io/perennial/internal/failpoint"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/storage/objects"
)

// ErrDamaged says that what a checkpoint consists of is not there as it was written, and will not
// be at the next try either: it cannot be restored. A storage that cannot be read at the moment
// is another error.
var ErrDamaged = errors.New("storage: damaged checkpoint")

// stateBuffer is how much of a state is written at once, in bytes.
const stateBuffer = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// PutState stores what write produces as a piece of the state that the attempt has at the
// checkpoint, and returns where it is, its length in bytes and its CRC-32C, as a handle has them.
// A name that is taken is an error: an attempt takes an id at most once. The writing fails once
// ctx has ended, and nothing is stored then.
func (s *Storage) PutState(ctx context.Context, id job.ID, checkpoint job.CheckpointID, attempt job.Attempt, name string, write func(io.Writer) error) (file string, size int64, crc uint32, err error) {
	p := place{id, checkpoint, attempt, name}
	if err := p.check(); err != nil {
		return "", 0, 0, err
	}
	if isManifest(name) {
		return "", 0, 0, fmt.Errorf("%w: %q is a manifest's, not a state's", ErrName, name)
	}
	sum := &summed{}
	created, err := s.objects.Create(ctx, p.String(), func(w io.Writer) error { return sum.fill(w, write) })
	if err == nil && !created {
		err = fs.ErrExist
	}
	if err != nil {
		return "", 0, 0, fmt.Errorf("store state %s: %w", p, err)
	}
	return p.String(), sum.size, sum.crc, nil
}

// summed passes on what is written, counts and sums it.
type summed struct {
	to   io.Writer
	size int64
	crc  uint32
}

func (m *summed) fill(to io.Writer, write func(io.Writer) error) error {
	m.to = to
	b := bufio.NewWriterSize(m, stateBuffer)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}

func (m *summed) Write(b []byte) (int, error) {
	n, err := m.to.Write(b)
	m.size += int64(n)
	m.crc = crc32.Update(m.crc, castagnoli, b[:n])
	failpoint.TaskUploads.Reached()
	return n, err
}

// InlineState completes the handle of a state that is small enough to travel in it.
func InlineState(h job.StateHandle, data []byte) job.StateHandle {
	h.Data, h.Size, h.CRC = data, int64(len(data)), crc32.Checksum(data, castagnoli)
	return h
}

// ReadState returns the piece of state that h names, or fails with ErrDamaged when it is not what
// was written.
func (s *Storage) ReadState(ctx context.Context, h job.StateHandle) ([]byte, error) {
	r, err := s.OpenState(ctx, h)
	return readWhole(r, h, err)
}

// OpenState reads the piece of state that h names, as it is needed: what cannot be in memory all at once. The
// reader fails with ErrDamaged instead of ending when what it has read is not what was written.
func (s *Storage) OpenState(ctx context.Context, h job.StateHandle) (io.ReadCloser, error) {
	if h.File == "" {
		return inlined(h)
	}
	p, err := parsePlace(h.File)
	if err != nil {
		return nil, fmt.Errorf("%w: state: %w", ErrDamaged, err)
	}
	r, err := openVerified(ctx, s.objects, p.String(), h)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.unreadable(ctx, "state", p, err)
	}
	return r, err
}

// readWhole returns all of what was opened, if it was, and closes it. Its length is that of the handle, or it would not have been opened.
func readWhole(r io.ReadCloser, h job.StateHandle, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := bytes.NewBuffer(make([]byte, 0, h.Size+bytes.MinRead)) // the end is found without growing
	if _, err := b.ReadFrom(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// inlined reads a piece of state that is in the manifest.
func inlined(h job.StateHandle) (io.ReadCloser, error) {
	name := "in the manifest, of operator " + h.Operator
	if int64(len(h.Data)) != h.Size {
		return nil, otherLength(name, int64(len(h.Data)), h)
	}
	from := bytes.NewReader(h.Data)
	return &verified{from: from, Closer: io.NopCloser(from), handle: h, name: name}, nil
}

func otherLength(name string, size int64, h job.StateHandle) error {
	return fmt.Errorf("%w: state %s has %d bytes, %d were written", ErrDamaged, name, size, h.Size)
}

// openVerified opens the object that is a piece of state. One of another length is refused here: it must not cost its size in memory.
func openVerified(ctx context.Context, at objects.Store, name string, h job.StateHandle) (io.ReadCloser, error) {
	r, size, err := at.Open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read state %s: %w", name, err)
	}
	if size != h.Size {
		r.Close()
		return nil, otherLength(below(at.String(), name), size, h)
	}
	return &verified{from: r, Closer: r, handle: h, name: below(at.String(), name)}, nil
}

// verified compares what is read of a piece of state with its handle.
type verified struct {
	from io.Reader
	io.Closer
	handle job.StateHandle
	name   string // for a person
	size   int64
	crc    uint32
}

func (v *verified) Read(b []byte) (int, error) {
	n, err := v.from.Read(b)
	v.size += int64(n)
	v.crc = crc32.Update(v.crc, castagnoli, b[:n])
	switch ended := errors.Is(err, io.EOF); {
	case v.size > v.handle.Size || ended && v.size != v.handle.Size:
		err = otherLength(v.name, v.size, v.handle)
	case ended && v.crc != v.handle.CRC:
		err = fmt.Errorf("%w: state %s has CRC-32C %08x, %08x was written", ErrDamaged, v.name, v.crc, v.handle.CRC)
	case err != nil && !ended:
		err = fmt.Errorf("read state %s: %w", v.name, err)
	}
	return n, err
}

// unreadable is ErrDamaged for an object that is missing, unless the whole storage is: then
// every checkpoint would be given up for a disk that is not mounted yet.
func (s *Storage) unreadable(ctx context.Context, what string, p place, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s %s: %w", what, p, err)
	}
	// A leader stores the incarnation before any job is there.
	if _, err := s.read(ctx, clusterDir, "incarnation"); err != nil {
		return fmt.Errorf("read %s %s: the storage is away: %w", what, p, err)
	}
	return fmt.Errorf("%w: %s %s is missing in %s", ErrDamaged, what, p, s.Dir())
}

// place is where a file of a checkpoint is.
type place struct {
	job        job.ID
	checkpoint job.CheckpointID
	attempt    job.Attempt
	name       string
}

func (p place) dir() string {
	return path.Join(stateDir, string(p.job), dirName(p.checkpoint, p.attempt))
}
func (p place) String() string { return path.Join(p.dir(), p.name) }

func dirName(checkpoint job.CheckpointID, attempt job.Attempt) string {
	return fmt.Sprintf("chk-%d-%d", checkpoint, attempt)
}

// parseDirName reads what dirName wrote, and nothing else.
func parseDirName(name string) (d checkpoint.Dir, ok bool) {
	_, err := fmt.Sscanf(name, "chk-%d-%d", &d.Checkpoint, &d.Attempt)
	return d, err == nil && name == dirName(d.Checkpoint, d.Attempt)
}

// parsePlace reads what String wrote, and refuses whatever could lead elsewhere.
func parsePlace(file string) (place, error) {
	parts := strings.Split(file, "/")
	if len(parts) != 4 {
		return place{}, fmt.Errorf("%w: %q is no file of a checkpoint", ErrName, file)
	}
	d, ok := parseDirName(parts[2])
	p := place{job.ID(parts[1]), d.Checkpoint, d.Attempt, parts[3]}
	if !ok || parts[0] != stateDir || p.check() != nil {
		return place{}, fmt.Errorf("%w: %q is no file of a checkpoint", ErrName, file)
	}
	return p, nil
}

func (p place) check() error {
	if _, err := job.ParseID(string(p.job)); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	if p.checkpoint == 0 || p.attempt == 0 {
		return fmt.Errorf("%w: checkpoint %d of attempt %d: both count from 1", ErrName, p.checkpoint, p.attempt)
	}
	if p.name == "" || p.name[0] == '.' || strings.Trim(p.name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return fmt.Errorf("%w: %q; a file of a checkpoint is called by a-z, 0-9, '-' and '.'", ErrName, p.name)
	}
	return nil
}
