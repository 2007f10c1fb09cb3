package task_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/internal/task"
	"github.com/perennial-io/perennial/stream"
)

// TestMain is also the main function of the job whose processes the tests start.
func TestMain(m *testing.M) {
	if os.Getenv(task.RoleVariable) != "" {
		fmt.Println("user code prints as it likes")
		stream.Main("testjob", testJob)
	}
	goleak.VerifyTestMain(m)
}

const records = 200_000

// testJob does what its argument --do says.
func testJob(env *stream.Env) {
	switch do := env.Arg("do"); do {
	case "sum": // over a keyed exchange, into one subtask
		s := stream.From(env, "numbers", generator.Count(records, func(i uint64) uint64 { return i }))
		partial := stream.Reduce(stream.KeyBy(s, func(i uint64) uint64 { return i % 1000 }), "partial", add)
		sum := stream.Reduce(stream.KeyBy(partial, func(uint64) bool { return true }), "sum", add)
		stream.ForEach(sum, "print", func(sum uint64) { fmt.Printf("sum=%d\n", sum) }, stream.Parallelism(1))
	case "endless", "another":
		s := stream.From(env, "numbers", generator.Unbounded(func(i uint64) uint64 { return i }), stream.Rate(1000))
		stream.To(s, do, discard.All[uint64]())
	case "stuck":
		s := stream.From(env, "numbers", generator.Unbounded(func(i uint64) uint64 { return i }))
		stream.ForEach(s, "stuck", func(uint64) { fmt.Println("stuck"); select {} })
	case "panic": // in one of two subtasks
		s := stream.From(env, "numbers", generator.Unbounded(func(i uint64) uint64 { return i }), stream.Rate(1000))
		stream.ToFunc(stream.Rebalance(s), "bad", func(ctx *stream.Context) (func(uint64) error, error) {
			return func(uint64) error {
				if ctx.Subtask() == 1 {
					panic("out of luck")
				}
				return nil
			}, nil
		})
	}
}

func add(a, b uint64) uint64 { return a + b }
