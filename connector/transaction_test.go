package connector_test

import (
	"context"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/operator"
)

func at(operatorName string, subtask, parallelism, attempt int) *connector.Context {
	return operator.NewContext(context.Background(), operator.ContextConfig{
		Job: "0123456789abcdef0123456789abcdef", Operator: operatorName, Subtask: subtask, Parallelism: parallelism, Attempt: job.Attempt(attempt),
	})
}

func TestTransactionNames(t *testing.T) {
	for _, name := range []string{"out", "a-b-c", "to ä/%2F", ""} {
		want := connector.NewTransaction(at(name, 3, 4, 2), 17)
		if got, ok := connector.ParseTransaction(want.String()); !ok || got != want {
			t.Errorf("ParseTransaction(%q) = %+v, %t, want %+v", want, got, ok, want)
		}
	}
	for _, name := range []string{"", "x", "j-0-1-2", "j-0-1-x-out", "j-00-1-2-out", "j-0-1-2-%zz", "j-0-1-2-a b", "j-0-1-99999999999-out"} {
		if got, ok := connector.ParseTransaction(name); ok {
			t.Errorf("ParseTransaction(%q) = %+v, true, want false", name, got)
		}
	}
}

func FuzzTransactionNames(f *testing.F) {
	f.Add("0123456789abcdef-3-2-17-to+ledger%2F")
	f.Fuzz(func(t *testing.T, name string) {
		if got, ok := connector.ParseTransaction(name); ok && got.String() != name {
			t.Errorf("ParseTransaction(%q) = %+v, which is called %q", name, got, got)
		}
	})
}

func TestOrphans(t *testing.T) {
	mine := connector.NewTransaction(at("out", 3, 4, 2), 0)
	tests := []struct {
		name string
		ctx  *connector.Context
		want bool
	}{
		{"the same attempt", at("out", 3, 4, 2), false},
		{"a later attempt of the subtask", at("out", 3, 4, 3), true},
		{"of another subtask", at("out", 2, 4, 3), false},
		{"of another operator", at("in", 3, 4, 3), false},
		{"of the place it has after rescaling", at("out", 1, 2, 3), true},
		{"of another place", at("out", 0, 2, 3), false},
		{"an earlier attempt", at("out", 3, 4, 1), false},
	}
	for _, test := range tests {
		if got := mine.Orphan(test.ctx); got != test.want {
			t.Errorf("%s: Orphan() = %t, want %t", test.name, got, test.want)
		}
	}
}
