package diagnose

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/perennial-io/perennial/internal/inspect"
)

func TestFetch(t *testing.T) {
	content := bytes.Repeat([]byte("profile"), 10)
	for name, test := range map[string]struct {
		answers []inspect.Piece // in turn; then pieces of the profile
		failure error
	}{
		"in pieces":              {},
		"after it was pending":   {answers: []inspect.Piece{{Pending: true}, {Pending: true}}},
		"forgotten and begun":    {answers: []inspect.Piece{{Data: content[:7], Size: 70}, {Pending: true}}},
		"refused by the process": {failure: errors.New("no")},
	} {
		synctest.Test(t, func(t *testing.T) {
			ask := func(_ context.Context, q inspect.Question) (inspect.Piece, error) {
				if len(test.answers) > 0 {
					a := test.answers[0]
					test.answers = test.answers[1:]
					return a, nil
				}
				part := content[q.Offset:]
				return inspect.Piece{Data: part[:min(len(part), 7)], Offset: q.Offset, Size: int64(len(content))}, test.failure
			}
			got, err := Fetch(t.Context(), ask, inspect.Profile{ID: "1", Kind: "heap"})
			if !errors.Is(err, test.failure) || err == nil && !bytes.Equal(got, content) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		})
	}
}
