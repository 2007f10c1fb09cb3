package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/storage"
)

// history knows how far the epochs of the cluster have come, so that a claim of one that was in force before is noticed:
// coordination was restored to an earlier state, and what it says of jobs and checkpoints is no longer so (R16).
type history struct {
	mu     sync.Mutex
	served coordination.Epoch // the highest whose leader has served, by storage at the start of this process, or by its own doing
	seen   coordination.Epoch // the highest of another process that this one has read from coordination
}

func (h *history) serves(e coordination.Epoch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.served = max(h.served, e)
}

func (h *history) sees(e coordination.Epoch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = max(h.seen, e)
}

// regression is the epoch that was in force before although it is as high as one that was just claimed, or higher; 0: there is none.
// Somebody may have claimed it since, so it is proof only while the claim stands.
func (h *history) regression(claimed coordination.Epoch) coordination.Epoch {
	h.mu.Lock()
	defer h.mu.Unlock()
	if claimed > h.served && claimed > h.seen {
		return 0
	}
	return max(h.served, h.seen)
}

// servedPause is before storage is asked again how far the cluster has come, or it or coordination told.
const servedPause = 50 * time.Millisecond

// learnServed reads what storage knows, and tries again for as long as it takes: a process that starts needs it anyway. Storage has the
// incarnation at hand then, so that no claim of an epoch that was in force before comes to nothing because storage is away.
func (jm *JobManager) learnServed(ctx context.Context) error {
	for said := false; ; said = true {
		served, err := jm.cfg.Storage.Served(ctx)
		if err == nil {
			_, err = jm.cfg.Storage.Incarnation(ctx)
		}
		if err == nil || errors.Is(err, storage.ErrNotFound) { // nobody has led yet
			jm.history.serves(coordination.Epoch(served))
			return nil
		}
		if !said {
			jm.log.Warn("storage does not tell how far the cluster has come; it is tried again", "error", err)
		}
		if pause(ctx, servedPause); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// restoredMark begins the incarnation's value in a coordination that was found in an earlier state.
const restoredMark = "restored: "

// checkHistory refuses an epoch that was in force before, and leaves that in coordination: each further claim would be one
// higher, and one of them as high as none before. So nothing but the end of the term keeps it from that.
func (l *leader) checkHistory() error {
	before := l.history.regression(l.term.Epoch())
	if before == 0 {
		return nil
	}
	why := fmt.Sprintf("coordination was restored to an earlier state: epoch %d could be claimed, and epoch %d has been in force in this cluster. What it says of jobs and checkpoints is no longer so; tasks run on. "+
		"Bring coordination's newest data back, or import the newest export into an empty coordination (docs/operations.md, backup)", l.term.Epoch(), before)
	for {
		err := l.markRestored(why)
		switch {
		case err == nil:
			return &WrongClusterError{why}
		case errors.Is(err, coordination.ErrStaleEpoch), l.ctx.Err() != nil:
			return err // it stands only if the claim does: somebody else may have led since
		}
		l.log.Warn("coordination was restored to an earlier state, and that cannot be committed; it is tried again", "error", err)
		pause(l.ctx, servedPause)
	}
}

// markRestored has nobody lead here any more. The incarnation is known to be this cluster's.
func (l *leader) markRestored(why string) error {
	was, err := l.term.Get(l.ctx, incarnationKey)
	if err != nil {
		return err
	}
	if strings.HasPrefix(string(was.Value), restoredMark) {
		return nil // by a commit whose answer was lost
	}
	_, err = l.term.Commit(l.ctx, coordination.Set(incarnationKey, []byte(restoredMark+why), was.Version))
	return err
}

// noteServed keeps in storage that this leader serves. It is for later, and nobody waits for it; a storage that is away is tried again for as
// long as the term lasts, as it may last for long.
func (l *leader) noteServed(ctx context.Context) {
	l.history.serves(l.term.Epoch())
	for wait := servedPause; ; wait = min(2*wait, time.Minute) {
		err := l.putServed(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if wait == servedPause {
			l.log.Warn("storage cannot be told that this leader serves; it is tried again. Until it is, it might not be noticed that coordination was restored to an earlier state", "error", err)
		}
		pause(ctx, wait)
	}
}

func (l *leader) putServed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return l.cfg.Storage.PutServed(ctx, uint64(l.term.Epoch()))
}
