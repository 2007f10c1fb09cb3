package jobmanager

import (
	"context"
	"errors"
	"testing"

	"github.com/perennial-io/perennial/internal/api"
)

// A term that ends before its answer answers nothing, also while this process is still, or again,
// the one that serves: a Cluster without slots, or no term at all, would pass for an answer.
func TestEndedTermAnswersWithAnError(t *testing.T) {
	jm := &JobManager{}
	ctx, end := context.WithCancel(t.Context())
	end()
	ended, again := &leader{JobManager: jm, ctx: ctx}, &leader{JobManager: jm, ctx: t.Context()}
	for _, serving := range []*leader{ended, again} {
		jm.serving.Store(serving)
		var e *api.Error
		if err := ended.ended(); !errors.As(err, &e) || e.Code != api.Unavailable {
			t.Errorf("ended() = %v, want an api.Error %q", err, api.Unavailable)
		}
	}
	jm.serving.Store(nil)
	var e *api.Error
	if err := ended.ended(); !errors.As(err, &e) || e.Code != api.NoLeader {
		t.Errorf("ended() = %v, want an api.Error %q", err, api.NoLeader)
	}
}
