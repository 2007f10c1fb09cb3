package generator_test

import (
	"context"
	"fmt"

	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/connector/print"
	"github.com/perennial-io/perennial/stream"
)

func ExampleCount() {
	square := func(i uint64) uint64 { return i * i }
	err := stream.Run(context.Background(), "squares", nil, func(env *stream.Env) {
		squares := stream.From(env, "squares", generator.Count(5, square))
		stream.To(squares, "print", print.Stdout[uint64]())
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0
	// 1
	// 4
	// 9
	// 16
}

func ExampleFill() {
	type point struct{ X, Y uint64 }
	diagonal := func(i uint64, p *point) { p.X, p.Y = i, i }
	err := stream.Run(context.Background(), "diagonal", nil, func(env *stream.Env) {
		points := stream.From(env, "points", generator.Fill(3, diagonal))
		stream.To(points, "print", print.Stdout[point]())
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// {X:0 Y:0}
	// {X:1 Y:1}
	// {X:2 Y:2}
}

func ExampleUnbounded() {
	ctx, stop := context.WithCancel(context.Background())
	even := func(i uint64) uint64 { return 2 * i }
	_ = stream.Run(ctx, "evens", nil, func(env *stream.Env) {
		evens := stream.From(env, "evens", generator.Unbounded(even), stream.Rate(1000))
		stream.ForEach(evens, "stop at 10", func(n uint64) {
			if n <= 10 {
				fmt.Print(n, " ")
			}
			if n == 10 {
				stop()
			}
		})
	})
	// Output: 0 2 4 6 8 10
}
