package operator

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
)

// ErrGoexit says that user code ended its goroutine, as testing.T.FailNow does.
var ErrGoexit = errors.New("user code ended its goroutine by runtime.Goexit (as t.FailNow and t.Fatal do)")

// PanicError is a panic of user code as an error.
type PanicError struct {
	Value any
	Stack string // from the place of the panic downwards; "" where nobody would read it
}

func (p *PanicError) Error() string {
	text := fmt.Sprint("panic: ", p.Value)
	if p.Stack == "" {
		return text
	}
	return text + "\n\n" + p.Stack
}

// Unwrap returns the value, if it is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Guarded calls f and reports what it returned, or its panic as a PanicError, or ErrGoexit, by
// done; in the last case the goroutine ends once done returned.
func Guarded(f func() error, done func(error)) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			done(&PanicError{Value: v, Stack: stackBelowPanic(string(debug.Stack()))})
			return
		}
		done(ErrGoexit)
	}()
	err := f()
	returned = true
	done(err)
}

// stackBelowPanic drops from a stack what the runtime and this package put above the function
// that panicked.
func stackBelowPanic(stack string) string {
	head, rest, found := strings.Cut(stack, "\npanic(")
	if !found {
		return stack
	}
	goroutine, _, _ := strings.Cut(head, "\n")
	if _, below, ok := strings.Cut(rest, "\n\t"); ok { // the panic's own file and line
		_, rest, _ = strings.Cut(below, "\n")
	}
	return goroutine + "\n" + rest
}
