package chaos

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// The check of I7 finds what it is to find, and nothing else.
func TestRegister(t *testing.T) {
	op := func(call, back int64, verb string, a answer) porcupine.Operation {
		return porcupine.Operation{Input: question{verb, "a"}, Output: a, Call: call, Return: back}
	}
	is := func(state int) answer { return answer{true, state} }
	const never = 1 << 62
	for _, c := range []struct {
		name    string
		history []porcupine.Operation
		right   bool
	}{
		{"submit, look", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "get", is(live))}, true},
		{"acknowledged and gone", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "get", is(absent))}, false},
		{"never submitted", []porcupine.Operation{op(1, 2, "get", is(live))}, false},
		{"submitted while it was looked at", []porcupine.Operation{op(1, 4, "submit", is(live)), op(2, 3, "get", is(absent))}, true},
		{"submitted again after its end", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "cancel", is(canceled)), op(5, 6, "submit", is(live)), op(7, 8, "get", is(canceled))}, true},
		{"and alive again", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "cancel", is(canceled)), op(5, 6, "submit", is(live)), op(7, 8, "get", is(live))}, false},
		{"cancelled, and it runs", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "cancel", is(canceled)), op(5, 6, "get", is(live))}, false},
		{"cancelled by nobody", []porcupine.Operation{op(1, 2, "submit", is(live)), op(5, 6, "get", is(canceled))}, false},
		{"perhaps cancelled", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, never, "cancel", answer{}), op(5, 6, "get", is(live)), op(7, 8, "get", is(canceled))}, true},
		{"and then not", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, never, "cancel", answer{}), op(5, 6, "get", is(canceled)), op(7, 8, "get", is(live))}, false},
		{"perhaps submitted", []porcupine.Operation{op(1, never, "submit", answer{}), op(2, 3, "get", is(absent)), op(4, 5, "get", is(live))}, true},
		{"perhaps, and never", []porcupine.Operation{op(1, never, "submit", answer{}), op(2, 3, "get", is(absent))}, true},
		{"cancelled before it was there", []porcupine.Operation{op(1, 2, "cancel", is(absent)), op(3, 4, "submit", is(live)), op(5, 6, "get", is(live))}, true},
		{"not there, though acknowledged", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "cancel", is(absent))}, false},
		{"failed, and it runs", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "get", is(failed)), op(5, 6, "get", is(live))}, false},
		{"failed, and cancelled after that", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "get", is(failed)), op(5, 6, "cancel", is(canceled)), op(7, 8, "get", is(canceled))}, false},
		{"failed while it was cancelled", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "cancel", is(canceled)), op(5, 6, "get", is(failed))}, true},
		{"failed by itself", []porcupine.Operation{op(1, 2, "submit", is(live)), op(3, 4, "get", is(failed))}, true},
	} {
		if got := porcupine.CheckOperations(register, c.history); got != c.right {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
