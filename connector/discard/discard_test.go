package discard_test

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

func ExampleAll() {
	var seen atomic.Uint64
	count := func(i uint64) uint64 { seen.Add(1); return i }
	err := stream.Run(context.Background(), "nothing", nil, func(env *stream.Env) {
		stream.To(stream.From(env, "numbers", generator.Count(1000, count)), "gone", discard.All[uint64]())
	})
	fmt.Println(seen.Load(), err)
	// Output: 1000 <nil>
}
