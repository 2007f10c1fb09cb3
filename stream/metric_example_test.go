package stream_test

import (
	"fmt"

	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

func ExampleEnv_Metrics() {
	var metrics *stream.Metrics
	run(func(env *stream.Env) {
		metrics = env.Metrics()
		orders := stream.From(env, "orders", slice.Of(12.5, -1, 80))
		valid := stream.Apply(orders, "check", func(ctx *stream.Context) (func(float64, func(float64)) error, error) {
			rejected, amount := ctx.Counter("rejected"), ctx.Histogram("amount_euros", 10, 50, 100)
			return func(order float64, emit func(float64)) error {
				if order < 0 {
					rejected.Inc()
					return nil
				}
				amount.Observe(order)
				emit(order)
				return nil
			}, nil
		})
		stream.ForEach(valid, "show", func(float64) {})
	})
	rejected, _ := metrics.Find("check", "rejected")
	amount, _ := metrics.Find("check", "amount_euros")
	fmt.Println(rejected.Count, amount.Count, amount.Value, amount.Buckets)
	// Output:
	// 1 2 92.5 [0 1 1 0]
}
