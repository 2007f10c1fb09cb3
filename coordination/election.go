package coordination

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fatalError is an error of Lead that ends Elect.
type fatalError struct{ error }

// election is the state of Elect. It belongs to the goroutine that called it.
type election struct {
	ElectConfig
	root      context.Context // of Elect: a term's context comes from it, not from a session's
	nonce     string          // of the claim that is or will be ours; a new one after each term
	seen      Leadership      // newest known
	suspected Epoch           // newest that was suspected
	term      *steadyTerm     // ours; nil: standing by
	claim     *time.Timer     // fires when it is time to claim
	claimSet  bool            // claim is running
	unsure    bool            // a claim came to nothing: what is in force is read before the next
	pause     pause
	retired   time.Time // when Lead last returned by itself; zero: never
	said      string    // the last trouble that was logged
}

// open begins a session, and tries again for as long as it takes.
func (e *election) open(ctx context.Context) (Store, error) {
	for {
		store, err := e.Open(ctx)
		if err == nil {
			return store, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		e.say(fmt.Errorf("open a session: %w", err))
		e.pause.wait(ctx)
	}
}

// say logs trouble with coordination, once until it changes.
func (e *election) say(err error) {
	if err.Error() != e.said {
		e.said = err.Error()
		e.Logger.Warn("coordination is not at hand; it is tried again", "candidate", e.Candidate.ID, "leading", e.term != nil, "error", err)
	}
}

// attend follows one session until it ends, or until ctx does and the term is over.
func (e *election) attend(ctx context.Context, store Store) error {
	defer store.Close() // a session that cannot be closed expires
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.enter(ctx, store); err != nil {
		return err
	}
	observed, members := store.Observe(ctx), store.WatchMembers(ctx)
	for {
		var err error
		select {
		case <-ctx.Done():
			e.leave(store)
			return context.Cause(ctx)
		case <-store.Done():
			return ErrSessionEnded
		case l, ok := <-observed:
			if !ok {
				observed = nil // the session or ctx ends
				continue
			}
			e.settled()
			err = e.observe(ctx, store, l)
		case m, ok := <-members:
			if !ok {
				members = nil
			} else if e.Members != nil {
				e.Members(m)
			}
		case epoch := <-e.Suspected:
			e.suspected = max(e.suspected, epoch)
			err = e.consider(ctx, store)
		case <-e.claim.C:
			e.claimSet = false
			err = e.take(ctx, store)
		case lead := <-e.term.returned():
			err = e.retire(ctx, store, lead)
		}
		if err != nil {
			return err
		}
	}
}

// enter brings a term that outlived its session into this one, and joins the members.
func (e *election) enter(ctx context.Context, store Store) error {
	e.unset()
	if e.term != nil {
		inner, err := store.Resume(ctx, e.Candidate, e.nonce)
		switch {
		case errors.Is(err, ErrStaleEpoch):
			e.term.end(err)
		case err != nil:
			return fmt.Errorf("resume epoch %d: %w", e.term.Epoch(), err)
		default:
			e.term.attach(inner)
			e.Logger.Info("the term goes on over a new session", "candidate", e.Candidate.ID, "epoch", inner.Epoch())
		}
	}
	if err := store.Join(ctx, Member(e.Candidate)); err != nil {
		return fmt.Errorf("join the members: %w", err)
	}
	return nil
}

// settled notes that coordination answers.
func (e *election) settled() {
	e.pause.reset()
	if e.said != "" {
		e.said = ""
		e.Logger.Info("coordination is at hand again", "candidate", e.Candidate.ID)
	}
}

// observe takes note of a leadership. Old ones, which a watch may bring late, are dropped.
func (e *election) observe(ctx context.Context, store Store, l Leadership) error {
	if l.Epoch < e.seen.Epoch {
		return nil
	}
	e.unsure = e.unsure && l.Epoch == e.seen.Epoch // a newer epoch is news enough
	e.seen = l
	if e.Observed != nil {
		e.Observed(l)
	}
	if e.term != nil && l.Epoch > e.term.Epoch() {
		e.term.end(fmt.Errorf("%w: %d of %s", ErrStaleEpoch, l.Epoch, l.ID))
	}
	return e.consider(ctx, store)
}

// vacant reports, to a candidate that does not lead, whether somebody should lead in place of l.
// An epoch of its own is vacant even if it counts as alive: its resignation did not arrive.
func (e *election) vacant(l Leadership) bool {
	return l.Epoch == 0 || !l.Alive || l.Epoch == e.suspected || l.ID == e.Candidate.ID
}

// consider claims, or sets the time for it, if the leadership seen last is vacant.
func (e *election) consider(ctx context.Context, store Store) error {
	mine := e.seen.Epoch > 0 && e.seen.Nonce == e.nonce // a claim whose reply never came (R8)
	if e.term != nil || !mine && !e.vacant(e.seen) {
		e.unset()
		return nil
	}
	if e.claimSet {
		return nil
	}
	var delay time.Duration
	if e.Delay != nil && !mine {
		delay = e.Delay(e.seen)
	}
	if !e.retired.IsZero() {
		delay = max(delay, longPause-time.Since(e.retired))
	}
	if delay <= 0 {
		return e.take(ctx, store)
	}
	e.claimIn(delay)
	return nil
}

func (e *election) claimIn(delay time.Duration) {
	e.claim.Reset(delay)
	e.claimSet = true
}

func (e *election) unset() {
	e.claim.Stop()
	e.claimSet = false
}

// take claims over the leadership as it was seen last, if that is vacant, as a round to the quorum is half
// a takeover: if another epoch is in force, or a leader that had gone lives again, the claim is lost and
// no harm done. Where nobody has led yet, and after a try that came to nothing, the leadership is read first.
func (e *election) take(ctx context.Context, store Store) error {
	began := time.Now()
	l := e.seen
	if e.unsure || l.Epoch == 0 {
		var err error
		if l, err = store.Leader(ctx); err != nil {
			return e.takeLater(ctx, fmt.Errorf("read who leads: %w", err))
		}
	}
	e.unsure = true
	var inner Term
	var err error
	switch {
	case l.Epoch > 0 && l.Nonce == e.nonce:
		inner, err = store.Resume(ctx, e.Candidate, e.nonce)
	case e.vacant(l):
		inner, err = store.Claim(ctx, l, e.Candidate, e.nonce)
	default:
		return nil // Observe tells of it, or has
	}
	switch {
	case errors.Is(err, ErrLost), errors.Is(err, ErrStaleEpoch):
		e.Logger.Debug("another candidate claimed first", "candidate", e.Candidate.ID, "over", l.Epoch)
		return nil // Observe tells of it
	case err != nil:
		return e.takeLater(ctx, fmt.Errorf("claim over epoch %d: %w", l.Epoch, err))
	}
	e.Logger.Info("leading", "candidate", e.Candidate.ID, "epoch", inner.Epoch(), "after", l.ID, "suspected", l.Alive && l.Epoch > 0, "took", time.Since(began))
	e.term, e.unsure = begin(e.root, inner, e.Lead), false
	return nil
}

// takeLater notes that take failed. An ended session or context is dealt with by attend.
func (e *election) takeLater(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, ErrSessionEnded) {
		return nil
	}
	e.say(err)
	e.claimIn(e.pause.next())
	return nil
}

// retire is the end of a term, after Lead has returned err.
func (e *election) retire(ctx context.Context, store Store, err error) error {
	term, stale := e.term, e.term.stale()
	e.term, e.nonce = nil, NewNonce()
	e.Logger.Info("the term is over", "candidate", e.Candidate.ID, "epoch", term.Epoch(), "replaced", stale, "error", err)
	if !stale {
		e.retired = time.Now()
		if err := e.resign(store, term, resignPatience); err != nil {
			e.Logger.Warn("could not resign", "candidate", e.Candidate.ID, "epoch", term.Epoch(), "error", err)
		}
	}
	term.end(ErrSessionEnded)
	if err != nil && e.Fatal != nil && e.Fatal(err) {
		return &fatalError{err}
	}
	return e.consider(ctx, store)
}

// leave lets a term end politely, so that the next can begin at once.
func (e *election) leave(store Store) {
	if e.term == nil {
		return
	}
	select {
	case <-e.term.returned(): //nolint:errcheck // only that it ended matters here
	case <-store.Done():
		e.abandon()
		return
	}
	if !e.term.stale() {
		if err := e.resign(store, e.term, partingPatience); err != nil {
			e.Logger.Info("coordination does not answer the resignation; the end of the session will do", "candidate", e.Candidate.ID, "epoch", e.term.Epoch(), "error", err)
		}
	}
	e.term.end(ErrSessionEnded)
	e.term = nil
}

// abandon waits for the end of a term whose session is gone and has no successor.
func (e *election) abandon() {
	if e.term == nil {
		return
	}
	e.term.end(ErrSessionEnded)
	<-e.term.returned() //nolint:errcheck // only that it ended matters here
	e.term = nil
}

// resign works while Elect ends, and does not hold that up for longer than patience: the session ends soon.
func (e *election) resign(store Store, term *steadyTerm, patience time.Duration) error {
	select {
	case <-store.Done():
		return nil // nobody takes this leader for alive any more
	default:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.root), patience)
	defer cancel()
	return term.Resign(ctx)
}

// pause grows with each attempt that fails.
type pause struct{ last time.Duration }

func (p *pause) next() time.Duration {
	p.last = min(max(2*p.last, firstPause), longPause)
	return p.last
}

func (p *pause) reset() { p.last = 0 }

// wait lets the next pause pass, or the rest of ctx.
func (p *pause) wait(ctx context.Context) {
	timer := time.NewTimer(p.next())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
