package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/metadata"
	"github.com/perennial-io/perennial/internal/rpc"
	"github.com/perennial-io/perennial/internal/storage"
)

// exportTries is how often what is committed is read before commits have to wait for it: it must be the same twice.
const exportTries = 10

// exported are all keys but that of the incarnation, which is in the header of an export: those that end with a slash are
// prefixes.
var exported = []string{taskManagersPrefix, jobsPrefix, forgottenKey, garbageKey}

// movedMark begins the incarnation's value in a coordination that the cluster has left.
const movedMark = "moved: "

// errMoving ends the term that makes the last export.
var errMoving = errors.New("the cluster leaves this coordination")

// MovedError says that the cluster does not live in this coordination any more.
type MovedError struct{ message string }

func (e *MovedError) Error() string { return e.message }

// moving is a last export, asked for by the API and made by lead when the owners of jobs have ended.
type moving struct {
	export api.Export
	err    error
	done   chan struct{}
}

// tooLate answers who asks for a last export of a term that has ended without one.
func (l *leader) tooLate() *moving {
	m := &moving{err: unavailable(l.over()), done: make(chan struct{})}
	close(m.done)
	return m
}

// Export reads all that coordination holds of the cluster, as of one moment. A final one ends the term first,
// and no JobManager leads there afterwards; all of them end, and what runs goes on headless.
func (jm *JobManager) Export(ctx context.Context, final bool) (api.Export, error) {
	l, err := jm.current(ctx)
	if err != nil {
		return api.Export{}, err
	}
	if !final {
		ctx, cancel := context.WithTimeout(ctx, patient)
		defer cancel()
		file, err := l.export(ctx, false)
		if err != nil {
			return api.Export{}, unavailable(err)
		}
		if err := l.checks.Current(ctx); err != nil {
			return api.Export{}, unavailable(err)
		}
		return api.Export{File: file}, nil
	}
	return l.leaveHere(ctx)
}

// leaveHere has the term end with a last export.
func (l *leader) leaveHere(ctx context.Context) (api.Export, error) {
	m := &moving{done: make(chan struct{})}
	if !l.moving.CompareAndSwap(nil, m) {
		m = l.moving.Load() // asked for twice at once
	}
	l.log.Warn("the cluster leaves this coordination: the term ends with a last export")
	l.end(errMoving)
	select {
	case <-m.done:
		return m.export, m.err
	case <-ctx.Done():
		return api.Export{}, ctx.Err()
	}
}

// move makes the last export, after everything else of the term has ended, and tells the standbys. A write of the
// term that lands later still is one that nobody was told of (R3), and is as if it had not been made.
func (l *leader) move(ctx context.Context, m *moving) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patient)
	defer cancel()
	defer l.closeStandbys(nil)
	var err error
	if m.export, err = l.leave(ctx); err != nil {
		m.err = unavailable(err)
	}
	if close(m.done); err != nil {
		return err
	}
	moved := &MovedError{"the cluster has left this coordination; its last export is " + m.export.Location}
	for _, s := range l.connections.listStandbys() { // of an embedded quorum the last ones could not find the mark
		_ = s.conn.Send(l.header, rpc.Moved{Reason: moved.message}) // one that has gone finds the mark
	}
	return moved
}

// leave keeps the last export in storage, and commits that the cluster has left.
func (l *leader) leave(ctx context.Context) (api.Export, error) {
	file, err := l.export(ctx, true)
	if err != nil {
		return api.Export{}, err
	}
	at, err := l.cfg.Storage.PutExport(ctx, uint64(l.term.Epoch()), file)
	if err != nil {
		return api.Export{}, err
	}
	was, err := l.term.Get(ctx, incarnationKey)
	if err != nil {
		return api.Export{}, err
	}
	if _, err := l.term.Commit(ctx, coordination.Set(incarnationKey, []byte(movedMark+at), was.Version)); err != nil {
		return api.Export{}, fmt.Errorf("commit that the cluster leaves: %w", err)
	}
	return api.Export{File: file, Location: at}, nil
}

// export makes the file.
func (l *leader) export(ctx context.Context, final bool) ([]byte, error) {
	entries, err := readStill(ctx, l.term, l.cfg.Storage)
	if err != nil {
		return nil, err
	}
	h := metadata.Header{
		Release: l.cfg.Version, Incarnation: l.header.Cluster, Epoch: l.term.Epoch(), Taken: time.Now().UTC(), Final: final, JobManagers: []string{l.self.REST},
	}
	for _, other := range l.published() {
		if !slices.Contains(h.JobManagers, other.REST) {
			h.JobManagers = append(h.JobManagers, other.REST)
		}
	}
	return metadata.Write(h, entries)
}

// pausable is the term of a leader, whose commits can be held up.
type pausable struct {
	coordination.Term
	commits *semaphore.Weighted
}

const allCommits = 1 << 30

func newPausable(t coordination.Term) *pausable {
	return &pausable{Term: t, commits: semaphore.NewWeighted(allCommits)}
}

// Commit is that of the term, once none is held up any more.
func (p *pausable) Commit(ctx context.Context, ops ...coordination.Op) ([]coordination.Version, error) {
	if err := p.commits.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer p.commits.Release(1)
	return p.Term.Commit(ctx, ops...)
}

// errRestless says that what is committed changed while it was read.
var errRestless = errors.New("what is committed changed during each reading, so that they are not of one moment")

// readStill is readTwice, for which commits wait if nothing else helps: where some hundred jobs take checkpoints there is one during each
// reading.
func readStill(ctx context.Context, term *pausable, s *storage.Storage) ([]metadata.Entry, error) {
	entries, err := readTwice(ctx, term, s)
	if !errors.Is(err, errRestless) {
		return entries, err
	}
	if err := term.commits.Acquire(ctx, allCommits); err != nil {
		return nil, err
	}
	defer term.commits.Release(allCommits)
	return readTwice(ctx, term, s)
}

// readTwice reads all entries until two readings in a row are the same: between them, that was the state. Intents that are objects in
// storage are put in, where coordination would take them: the next commit removes the object, and a backup is to outlive that.
func readTwice(ctx context.Context, term coordination.Term, s *storage.Storage) ([]metadata.Entry, error) {
	var last []coordination.Entry
	again := false // they were the same before, and an object was missing
	for n := range exportTries {
		now, err := readExported(ctx, term)
		if err != nil {
			return nil, err
		}
		if n > 0 && slices.EqualFunc(last, now, func(a, b coordination.Entry) bool { return a.Key == b.Key && a.Version == b.Version }) {
			entries, complete, err := whole(ctx, s, now)
			if err != nil || complete || again {
				return entries, err
			}
			again = true
		} else {
			again = false
		}
		last = now
	}
	return nil, errRestless
}

// whole are entries with the intents that are in storage. It is not complete if one has been replaced meanwhile, or is lost.
func whole(ctx context.Context, s *storage.Storage, list []coordination.Entry) (entries []metadata.Entry, complete bool, err error) {
	complete = true
	for _, e := range list {
		value := e.Value
		if blob := blobOf(value); blob != "" && strings.HasPrefix(e.Key, jobsPrefix) {
			switch in, err := s.Intent(ctx, blob); {
			case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrHash):
				complete = false
			case err != nil:
				return nil, false, fmt.Errorf("read %s: %w", e.Key, err)
			case len(in) <= batchBytes:
				value = in
			}
		}
		entries = append(entries, metadata.Entry{Key: e.Key, Value: value})
	}
	return entries, complete, nil
}

// readExported reads all that an export consists of, one key after the other.
func readExported(ctx context.Context, term coordination.Term) (all []coordination.Entry, err error) {
	for _, key := range exported {
		var entries []coordination.Entry
		if strings.HasSuffix(key, "/") {
			entries, err = term.List(ctx, key)
		} else {
			var e coordination.Entry
			if e, err = term.Get(ctx, key); err == nil {
				entries = append(entries, e)
			}
		}
		if err != nil && !errors.Is(err, coordination.ErrNotFound) {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		all = append(all, entries...)
	}
	return all, nil
}
