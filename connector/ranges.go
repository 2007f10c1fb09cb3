package connector

import "context"

// maxRange is the most elements of a range: so few that a long sequence is shared out evenly,
// so many that handing out ranges costs nothing beside reading them.
const maxRange = 1 << 16

// Ranges emits splits that together cover a sequence of n elements, in order: the first has
// From 0, the last To n. It is the Splits of a source whose elements are found by their index.
// A short sequence is cut into many splits as well, so that every reader gets some.
func Ranges(ctx *Context, n int64, emit func(Split) error) error {
	size := min(max(n/64, 1), maxRange)
	for from := int64(0); from < n; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		to := from + min(size, n-from)
		if err := emit(Split{From: from, To: to}); err != nil {
			return err
		}
		from = to
	}
	return nil
}
