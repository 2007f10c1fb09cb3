package jobmanager

import (
	"context"
	"errors"
	"fmt"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
)

var errSteppedDown = errors.New("an operator had it hand leadership over")

// StepDown ends the term of an epoch, if there is a standby that can take over: it claims as soon as the
// term has resigned, and this process leaves the next claim to others for a second. A term that is over
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
	standbys := l.answering(l.connections.listStandbys())
	if len(standbys) == 0 {
		return &api.Error{Code: api.Conflict, Message: "no other JobManager stands by and answers, so nobody could take over; nothing was done. Start another one, and see: perennial jobmanagers"}
	}
	l.log.Info("stepping down", "standbys", standbys)
	l.end(errSteppedDown)
	return nil
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
