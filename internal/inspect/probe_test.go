package inspect

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// hung is a storage that has a, not b, and for anything else does not come back, whatever the context says.
type hung struct{ release chan struct{} }

func (h hung) Dir() string { return "/mnt" }

func (h hung) HasToken(_ context.Context, name string) (bool, error) {
	if name != "a" && name != "b" {
		<-h.release
	}
	return name == "a", nil
}

func (h hung) PutToken(context.Context, string) error    { <-h.release; return nil }
func (h hung) DeleteToken(context.Context, string) error { <-h.release; return nil }

// TestProbe: what is not as it should be is told, and what hangs too, in time.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := hung{make(chan struct{})}
		defer close(storage.release)
		dial := func(ctx context.Context, _, address string) (net.Conn, error) {
			switch address {
			case "refused:1":
				return nil, errors.New("connection refused")
			case "silent:1":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			ours, theirs := net.Pipe()
			theirs.Close()
			return ours, nil
		}
		began := time.Now()
		seen := Probe{Write: "w", Read: []string{"a", "b", "c"}, Dial: []string{"open:1", "refused:1", "silent:1"}}.Run(t.Context(), storage, dial, "1")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		want := map[string]string{"w": "no answer within 1.5s", "b": "it is not there", "c": "no answer within 1.5s", "refused:1": "connection refused", "silent:1": "no answer within 1.5s"}
		for _, p := range seen.Problems {
			if p.Text != want[p.About] {
				t.Errorf("%s: %q, want %q", p.About, p.Text, want[p.About])
			}
		}
		if len(seen.Problems) != len(want) || slices.ContainsFunc(seen.Problems, func(p Problem) bool { return p.About == "a" }) || seen.Storage != "/mnt" || seen.Version != "1" {
			t.Errorf("%+v", seen)
		}
	})
}
