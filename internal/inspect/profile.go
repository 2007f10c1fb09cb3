package inspect

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"time"
)

// MaxSeconds bounds a CPU profile.
const MaxSeconds = 300

// keptProfiles is how many profiles a process keeps.
const keptProfiles = 2

// Kinds are the profiles there are.
var Kinds = []string{"cpu", "heap", "goroutine"}

// Profile names a profile.
type Profile struct {
	// ID is made by whoever asks, anew for each profile. The first question with it begins the profile.
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Seconds int    `json:"seconds,omitempty"` // of a CPU profile
}

// Check says what is wrong with p.
func (p Profile) Check() error {
	switch {
	case p.ID == "":
		return fmt.Errorf("the profile has no id")
	case !slices.Contains(Kinds, p.Kind):
		return fmt.Errorf("there is no profile %q: expected one of %q", p.Kind, Kinds)
	case p.Kind == "cpu" && (p.Seconds < 1 || p.Seconds > MaxSeconds):
		return fmt.Errorf("a CPU profile of %d s: expected 1 to %d", p.Seconds, MaxSeconds)
	}
	return nil
}

// Profiles takes profiles of this process, and keeps the newest. The zero value is ready. Its methods may be called from
// several goroutines.
type Profiles struct {
	mu     sync.Mutex
	closed bool
	kept   []*taking
	wg     sync.WaitGroup
}

// taking is a profile that is, or was, taken.
type taking struct {
	Profile
	end  context.CancelFunc
	done chan struct{} // closed when the rest is there
	data []byte
	err  error
}

func (t *taking) isTaken() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Answer is a piece of the profile that q names, which it begins to take if it does not know it.
func (p *Profiles) Answer(q Question) (Piece, error) {
	t, err := p.find(*q.Profile)
	if err != nil {
		return Piece{}, err
	}
	if !t.isTaken() {
		return Piece{Pending: true}, nil
	}
	if t.err != nil {
		return Piece{}, t.err
	}
	from := min(max(q.Offset, 0), int64(len(t.data)))
	part := t.data[from:]
	return Piece{Data: part[:min(len(part), MaxPiece)], Offset: from, Size: int64(len(t.data))}, nil
}

func (p *Profiles) find(wanted Profile) (*taking, error) {
	if err := wanted.Check(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.kept {
		if t.ID == wanted.ID {
			return t, nil
		}
	}
	if p.closed {
		return nil, fmt.Errorf("the process ends")
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &taking{Profile: wanted, end: cancel, done: make(chan struct{})}
	p.kept = append(p.kept, t)
	if len(p.kept) > keptProfiles {
		oldest := max(0, slices.IndexFunc(p.kept, (*taking).isTaken)) // one that is being taken would begin anew
		p.kept[oldest].end()
		p.kept = slices.Delete(p.kept, oldest, oldest+1)
	}
	p.wg.Go(func() {
		defer close(t.done)
		defer cancel()
		t.data, t.err = take(ctx, wanted)
	})
	return t, nil
}

// Close ends the profiles that are being taken, and waits for that.
func (p *Profiles) Close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.kept {
		t.end()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// take takes a profile; that of the CPU is shorter if ctx ends.
func take(ctx context.Context, wanted Profile) ([]byte, error) {
	var b bytes.Buffer
	if wanted.Kind != "cpu" {
		if wanted.Kind == "heap" {
			runtime.GC() // what it shows is as of the last collection
		}
		err := pprof.Lookup(wanted.Kind).WriteTo(&b, 0)
		return b.Bytes(), err
	}
	if err := pprof.StartCPUProfile(&b); err != nil {
		return nil, fmt.Errorf("another CPU profile of this process is being taken; ask again when it is done: %w", err)
	}
	timer := time.NewTimer(time.Duration(wanted.Seconds) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	pprof.StopCPUProfile()
	return b.Bytes(), nil
}
