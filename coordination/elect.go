package coordination

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ElectConfig is one candidate and what it does.
type ElectConfig struct {
	// Open begins a session. It is called again when it fails or when the session ends.
	Open func(ctx context.Context) (Store, error)

	// Candidate is this process. It joins the members under the same ID and Data.
	Candidate Candidate

	// Lead is the term: while it runs, this process leads. Its ctx ends with a newer epoch
	// (the cause is then ErrStaleEpoch) and with the context of Elect, and not because a
	// session ended: the term goes over to the next session, and its calls wait for that
	// (R10). If Lead returns on its own, Elect resigns and stands by again.
	Lead func(ctx context.Context, term Term) error

	// Fatal tells of an error of Lead whether this process must not lead again: Elect then
	// resigns and returns it. nil: no error is.
	Fatal func(error) bool

	// Suspected brings epochs whose leader seems dead to the caller's detector. Suspicion may be
	// wrong: it costs latency, never safety. Elect does not receive while it waits
	// for coordination, so the sender must not depend on it. nil: only the end of the leader's
	// session counts.
	Suspected <-chan Epoch

	// Delay is how long to hold back before claiming over this leadership, for another
	// candidate that is better placed. nil: not at all.
	Delay func(over Leadership) time.Duration

	// Observed and Members are told each change that is seen, one at a time, and must not
	// block. nil: nobody is told.
	Observed func(Leadership)
	Members  func([]Member)

	Logger *slog.Logger // nil: slog.Default
}

// Between attempts that fail, Elect waits for firstPause, then twice as long each time, up to
// longPause. A leader that gave up its term by itself leaves the next claim to others for longPause.
const (
	firstPause = 10 * time.Millisecond
	longPause  = time.Second
)

// Resigning is bounded: after a term that ended by itself, and, shorter, on the way out. There the end of the session does
// the same a moment later, and the last member of an embedded quorum that is stopped has nobody left to answer it.
const (
	resignPatience  = time.Second
	partingPatience = 500 * time.Millisecond
)

// Elect runs the life of one candidate until ctx ends: it stands by, claims the epoch when
// nobody leads or the leader is suspected, leads, and stands by again. On its way out it
// lets Lead return, resigns, and closes its session. It returns the cause of ctx's end,
// or the error of Lead that is Fatal.
//
// It runs Lead in a goroutine of its own and returns only after Lead has.
func Elect(ctx context.Context, cfg ElectConfig) error {
	if cfg.Open == nil || cfg.Lead == nil || cfg.Candidate.ID == "" {
		return errors.New("coordination: Elect needs Open, Lead and the candidate's ID")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &election{ElectConfig: cfg, root: ctx, nonce: NewNonce(), claim: time.NewTimer(time.Hour)}
	e.unset()
	defer e.claim.Stop()
	for {
		store, err := e.open(ctx)
		if err == nil {
			err = e.attend(ctx, store)
		}
		var fatal *fatalError
		switch {
		case errors.As(err, &fatal):
			return fatal.error
		case ctx.Err() != nil:
			e.abandon()
			return context.Cause(ctx)
		case err != nil:
			e.say(err)
		}
		e.pause.wait(ctx)
	}
}
