package disk_test

import (
	"context"
	"fmt"

	"github.com/perennial-io/perennial/connector/print"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/state/disk"
	"github.com/perennial-io/perennial/stream"
)

func ExampleStore() {
	err := stream.Run(context.Background(), "example", nil, func(env *stream.Env) {
		env.KeepState(disk.Store(disk.Budget(64 << 20)))
		words := stream.From(env, "words", slice.Of("to", "be", "or", "not", "to", "be"))
		byWord := stream.KeyBy(words, func(word string) string { return word })
		counts := stream.Aggregate(byWord, "count",
			func(n *int, _ string) { *n++ },
			func(word string, n int) string { return fmt.Sprint(word, " ", n) })
		stream.To(counts, "print", print.Stdout[string]())
	})
	if err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// to 2
	// be 2
	// or 1
	// not 1
}
