package print

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/operator"
)

type calls []string

func (c *calls) Write(p []byte) (int, error) {
	*c = append(*c, string(p))
	return len(p), nil
}

func TestPrint(t *testing.T) {
	type count struct {
		Word  string
		Count int
	}
	tests := []struct {
		parallelism, subtask int
		want                 calls
	}{
		{1, 0, calls{"{Word:a Count:1}\n{Word:b Count:2}\n", "{Word:c Count:3}\n"}},
		{3, 2, calls{"2> {Word:a Count:1}\n2> {Word:b Count:2}\n", "2> {Word:c Count:3}\n"}},
	}
	for _, test := range tests {
		var got calls
		ctx := operator.NewContext(context.Background(), operator.ContextConfig{Parallelism: test.parallelism, Subtask: test.subtask})
		w, err := To[count](&got).Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write([]count{{"a", 1}, {"b", 2}}), w.Write([]count{{"c", 3}})); err != nil {
			t.Fatal(err)
		}
		if outputs, err := w.Finish(); err != nil || len(outputs) != 0 {
			t.Errorf("Finish = %v, %v", outputs, err)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("wrote %q, want %q", got, test.want)
		}
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestPrintFails(t *testing.T) {
	var ctx *connector.Context = operator.NewContext(context.Background(), operator.ContextConfig{})
	w, err := To[string](closed{}).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write([]string{"a"}); err == nil || !strings.Contains(err.Error(), "print: broken pipe") {
		t.Errorf("error %v", err)
	}
}
