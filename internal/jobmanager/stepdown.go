package jobmanager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/rpc"
)

var (
	errSteppedDown = errors.New("an operator had it hand leadership over")
	errToldToEnd   = errors.New("its process was told to end")
)

// StepDown ends the term of an epoch, if there is a standby that can take over. A term that is over
// is answered as done, so that a request that is sent again has no second effect (R9).
func (jm *JobManager) StepDown(ctx context.Context, epoch coordination.Epoch) error {
	l, err := jm.current(ctx)
	if err != nil {
		return err
	}
	switch now := l.term.Epoch(); {
	case epoch == 0 || epoch > now:
		return &api.Error{Code: api.BadRequest, Message: fmt.Sprintf("epoch: %d; expected the one that is to end, and %d is in force", epoch, now)}
	case epoch < now:
		return nil
	}
	standbys := l.answering()
	if len(standbys) == 0 {
		return &api.Error{Code: api.Conflict, Message: "no other JobManager stands by and answers, so nobody could take over; nothing was done. Start another one, and see: perennial jobmanagers"}
	}
	l.log.Info("stepping down", "standbys", len(standbys))
	l.beSucceeded(ctx, standbys, errSteppedDown.Error())
	l.end(errSteppedDown) // it leaves the next claim to others for a second
	return nil
}

// succeedTime is how long a leader that hands over leads on for a standby that has not claimed. It is several times what a claim takes.
const succeedTime = 150 * time.Millisecond

// beSucceeded has the first of the standbys claim while this process still leads, so that nobody leads for as long as it takes the next leader to read what is
// committed, and not for the way of a resignation and of a claim as well. It returns when the term is over, or nobody has claimed for a while: then
// the leader is to resign. It is safe as any claim over a living leader is (R1); whether the standby hears of it is not important.
func (l *leader) beSucceeded(ctx context.Context, standbys []*session, why string) {
	if len(standbys) == 0 || l.moving.Load() != nil {
		return
	}
	standbys[0].post(l.header, rpc.Succeed{Reason: why})
	ctx, cancel := context.WithTimeout(ctx, succeedTime)
	defer cancel()
	select {
	case <-l.ctx.Done():
	case <-ctx.Done():
	}
}

// untilSucceeded returns a context that ends after ctx does, when the term of this process, if there is one, has been handed over as well as can be.
// stop ends it at once, and waits for what it has begun.
func (jm *JobManager) untilSucceeded(ctx context.Context) (handed context.Context, stop func()) {
	handed, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		defer end()
		select {
		case <-ctx.Done():
			if l := jm.serving.Load(); l != nil {
				l.beSucceeded(handed, l.answering(), errToldToEnd.Error())
			}
		case <-handed.Done():
		}
	})
	return handed, func() { end(); wg.Wait() }
}

// Elsewhere is the REST address of the JobManager that leads in place of this one, or "" if none is known
// or it leads itself.
func (jm *JobManager) Elsewhere() string {
	_, err := jm.led()
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Leader
	}
	return ""
}
