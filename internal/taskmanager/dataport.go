package taskmanager

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// maxPending bounds the data connections that are not handed over yet. Beyond it, new ones
// wait in the system's queue.
const maxPending = 1024

// handOverTime bounds how long a task process may leave accepted connections untaken.
const handOverTime = 5 * time.Second

// preambleSize is that of what opens a data connection: the magic, the job id as 32 hex
// digits, the region and the attempt in 4 bytes each, big endian.
const preambleSize = 8 + 32 + 4 + 4

const preambleMagic = "PRNLdat2"

// parsePreamble tells which task process a data connection is for.
func parsePreamble(b [preambleSize]byte) (attemptKey, error) {
	if !bytes.HasPrefix(b[:], []byte(preambleMagic)) {
		return attemptKey{}, fmt.Errorf("it began with %q", b[:8])
	}
	id, err := job.ParseID(string(b[8:40]))
	if err != nil {
		return attemptKey{}, err
	}
	region, attempt := int(binary.BigEndian.Uint32(b[40:])), job.Attempt(binary.BigEndian.Uint32(b[44:]))
	return attemptKey{partKey{id, region}, attempt}, nil
}

// receivers are the task processes that take data connections, each for exactly one attempt
// (R14). Small and under a mutex, so that accepting connections does not wait for the table.
type receivers struct {
	mu      sync.Mutex
	by      map[attemptKey]*net.UnixConn
	changed chan struct{} // closed, and replaced, when one is added
}

type attemptKey struct {
	partKey
	attempt job.Attempt
}

func (k attemptKey) String() string {
	return fmt.Sprintf("attempt %d of region %d of job %s", k.attempt, k.region, k.job)
}

func newReceivers() *receivers {
	return &receivers{by: map[attemptKey]*net.UnixConn{}, changed: make(chan struct{})}
}

func (r *receivers) add(of attemptKey, to *net.UnixConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[of] = to
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *receivers) remove(of attemptKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.by, of)
}

// find returns the task process of the attempt, waiting for it until ctx ends.
func (r *receivers) find(ctx context.Context, of attemptKey) (*net.UnixConn, error) {
	for {
		r.mu.Lock()
		to, changed := r.by[of], r.changed
		r.mu.Unlock()
		if to != nil {
			return to, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dataPort accepts data connections, reads whom each is for, and hands it over.
type dataPort struct {
	ln     net.Listener
	to     *receivers
	limits Timeouts
	log    *slog.Logger

	ctx     context.Context // ends when the port is closed
	cancel  context.CancelFunc
	pending chan struct{} // a place for each connection not handed over
	wg      sync.WaitGroup
}

func openDataPort(ln net.Listener, to *receivers, limits Timeouts, log *slog.Logger) *dataPort {
	p := &dataPort{ln: ln, to: to, limits: limits, log: log, pending: make(chan struct{}, maxPending)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p
}

// close stops accepting and drops what is not handed over.
func (p *dataPort) close() {
	p.cancel()
	p.ln.Close()
	p.wg.Wait()
}

func (p *dataPort) accept() {
	for p.ctx.Err() == nil {
		select {
		case p.pending <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		conn, err := p.ln.Accept()
		if err != nil {
			<-p.pending
			p.pauseAfter(err)
			continue
		}
		p.wg.Go(func() {
			defer func() { <-p.pending }()
			p.handle(conn)
		})
	}
}

// pauseAfter waits a little after an error such as too many open files, which goes by.
func (p *dataPort) pauseAfter(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	p.log.Error("cannot accept data connections; it is tried again", "error", err)
	select {
	case <-time.After(100 * time.Millisecond):
	case <-p.ctx.Done():
	}
}

// handle passes conn on and closes this process's end of it in any case.
func (p *dataPort) handle(conn net.Conn) {
	defer conn.Close()
	release := context.AfterFunc(p.ctx, func() { conn.Close() })
	defer release()
	if err := p.route(conn); err != nil && p.ctx.Err() == nil {
		p.log.Warn("closed a data connection", "from", conn.RemoteAddr(), "reason", err)
	}
}

func (p *dataPort) route(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(p.limits.Preamble)); err != nil {
		return err
	}
	var b [preambleSize]byte
	switch n, err := io.ReadFull(conn, b[:]); {
	case n == 0 && errors.Is(err, io.EOF):
		return nil // a leader that has lost our connection looks whether the port answers
	case err != nil:
		return fmt.Errorf("it ended, or said nothing more, before its %d-byte preamble was complete: %w", preambleSize, err)
	}
	meant, err := parsePreamble(b)
	if err != nil {
		return fmt.Errorf("it is no data connection: %w", err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.limits.Process)
	defer cancel()
	to, err := p.to.find(ctx, meant)
	if err != nil {
		return fmt.Errorf("%v has no task process on this TaskManager: it has ended, or the sender's host resolves the name of another TaskManager to this address, %v", meant, conn.LocalAddr())
	}
	if err := to.SetWriteDeadline(time.Now().Add(handOverTime)); err != nil {
		return err
	}
	if err := handOver(to, conn); err != nil {
		return fmt.Errorf("hand it to %v: %w", meant, err)
	}
	return nil
}
