package slice_test

import (
	"context"
	"fmt"

	"github.com/perennial-io/perennial/connector/print"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

func ExampleOf() {
	err := stream.Run(context.Background(), "greetings", nil, func(env *stream.Env) {
		names := stream.From(env, "names", slice.Of("Ada", "Grace"))
		stream.To(names, "print", print.Stdout[string]())
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// Ada
	// Grace
}
