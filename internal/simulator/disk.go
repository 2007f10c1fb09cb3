package simulator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/storage/objects"
)

// errAway is what everybody gets of a disk that is away.
var errAway = errors.New("simulator: input/output error")

// disk is the storage of the cluster, in memory.
type disk struct {
	mu    sync.Mutex
	draw  *rand.Rand
	names map[string][]byte
	slow  time.Duration // each call takes so much longer
	away  int           // how many faults keep it away
}

func newDisk(draw *rand.Rand) *disk { return &disk{draw: draw, names: map[string][]byte{}} }

// change is how faults come and go.
func (d *disk) change(slower time.Duration, away int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow += slower
	d.away += away
}

// has reports whether an object is stored, to the checker.
func (d *disk) has(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.names[name]
	return ok
}

// read returns an object as it is, to the checker.
func (d *disk) read(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name]
}

// view is what a process has of the disk; without a process, what the checker has. It implements objects.Store.
type view struct {
	*disk
	process *process
}

var _ objects.Store = view{}

// reach takes the time that a call takes, and fails if the process or the disk is away.
func (v view) reach(ctx context.Context, name string) error {
	if err := objects.Check(ctx, name); err != nil {
		return err
	}
	if v.process == nil {
		return nil
	}
	v.mu.Lock()
	d := time.Duration(50+v.draw.IntN(450))*time.Microsecond + v.slow
	v.mu.Unlock()
	if err := sleep(ctx, d); err != nil {
		return objects.Ended(ctx)
	}
	if err := v.process.pass(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away > 0 {
		return errAway
	}
	return nil
}

// Create implements objects.Store, as do the others.
func (v view) Create(ctx context.Context, name string, write func(io.Writer) error) (bool, error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return false, err
	}
	if err := v.reach(ctx, name); err != nil {
		return false, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, there := v.names[name]; there {
		return false, nil
	}
	v.names[name] = b.Bytes()
	return true, nil
}

func (v view) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if err := v.reach(ctx, name); err != nil {
		return nil, 0, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	b, there := v.names[name]
	if !there {
		return nil, 0, fs.ErrNotExist
	}
	return reader{ctx, bytes.NewReader(b)}, int64(len(b)), nil
}

// reader ends with its context, as that of a real store does.
type reader struct {
	ctx  context.Context
	rest *bytes.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := objects.Ended(r.ctx); err != nil {
		return 0, err
	}
	return r.rest.Read(b)
}

func (reader) Close() error { return nil }

func (v view) List(ctx context.Context, dir string) ([]string, error) {
	if err := v.reach(ctx, cmp.Or(dir, "all")); err != nil {
		return nil, err
	}
	if dir != "" {
		dir += "/"
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for name := range v.names {
		rest, below := strings.CutPrefix(name, dir)
		if !below {
			continue
		}
		if first, _, deeper := strings.Cut(rest, "/"); deeper {
			list = append(list, dir+first+"/")
		} else {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

func (v view) Delete(ctx context.Context, name string) error {
	if err := v.reach(ctx, name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.names, name)
	return nil
}

func (v view) DeleteAll(ctx context.Context, dir string) error {
	if err := v.reach(ctx, dir); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for name := range v.names {
		if strings.HasPrefix(name, dir+"/") {
			delete(v.names, name)
		}
	}
	return nil
}

func (v view) String() string { return "/simulated" }
