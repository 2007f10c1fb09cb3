package connector_test

import (
	"context"
	"errors"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/operator"
)

func TestRangesCoverTheSequence(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 63, 64, 65, 1000, 1 << 16, 1<<22 + 1, 100_000_000} {
		ctx := operator.NewContext(context.Background(), operator.ContextConfig{})
		end, splits := int64(0), int64(0)
		err := connector.Ranges(ctx, n, func(s connector.Split) error {
			if s.From != end || s.To <= s.From {
				t.Fatalf("n=%d: split %d to %d after one that ended at %d", n, s.From, s.To, end)
			}
			end, splits = s.To, splits+1
			return nil
		})
		if err != nil || end != n {
			t.Errorf("n=%d: covered up to %d, %v", n, end, err)
		}
		if want := min(n, 64); splits < want {
			t.Errorf("n=%d: %d splits, want at least %d", n, splits, want)
		}
	}
}

func TestRangesStop(t *testing.T) {
	failed := errors.New("no more")
	ctx := operator.NewContext(context.Background(), operator.ContextConfig{})
	if err := connector.Ranges(ctx, 100, func(connector.Split) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v, want that of emit", err)
	}
	ended, cancel := context.WithCancelCause(context.Background())
	cancel(failed)
	ctx = operator.NewContext(ended, operator.ContextConfig{})
	if err := connector.Ranges(ctx, 100, func(connector.Split) error { return nil }); !errors.Is(err, failed) {
		t.Errorf("error %v, want the context's cause", err)
	}
}
