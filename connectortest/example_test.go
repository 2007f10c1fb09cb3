package connectortest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/connectortest"
	"github.com/perennial-io/perennial/stream"
)

func ExampleEntries() {
	dir, err := os.MkdirTemp("", "perennial-example-")
	if err != nil {
		fmt.Println(err)
	}
	defer os.RemoveAll(dir)
	err = stream.Run(context.Background(), "bookkeeping", []string{"--ledger", dir}, func(env *stream.Env) {
		amounts := stream.From(env, "amounts", slice.Of(30, -5, 12))
		stream.To(amounts, "ledger", connectortest.Entries[int](env.Arg("ledger")))
	})
	if err != nil {
		fmt.Println(err)
	}
	ledger, err := connectortest.OpenLedger(dir)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(connectortest.Committed[int](ledger))
	// Output:
	// [30 -5 12] <nil>
}

// TestLocalRun commits all subtasks' transactions when all have come to the end, or none.
func TestLocalRun(t *testing.T) {
	refused := errors.New("seven is refused")
	for _, fails := range []bool{false, true} {
		dir := t.TempDir()
		err := stream.Run(t.Context(), "bookkeeping", nil, func(env *stream.Env) {
			env.SetParallelism(2)
			numbers := stream.From(env, "numbers", slice.Of(1, 2, 3, 4, 5, 6, 7))
			stream.To(numbers, "ledger", connectortest.Entries[int](dir))
			stream.ToFunc(numbers, "check", func(*stream.Context) (func(int) error, error) {
				return func(n int) error {
					if fails && n == 7 {
						return refused
					}
					return nil
				}, nil
			})
		})
		want := []int{1, 2, 3, 4, 5, 6, 7}
		if fails {
			want = nil
		}
		if fails != errors.Is(err, refused) {
			t.Errorf("fails %t: %v", fails, err)
		}
		ledger, err := connectortest.OpenLedger(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := connectortest.Committed[int](ledger)
		slices.Sort(got)
		left, err2 := ledger.Left()
		if !slices.Equal(got, want) || left != 0 || err != nil || err2 != nil {
			t.Errorf("fails %t: %v is committed and %d transactions are left, want %v (%v, %v)", fails, got, left, want, err, err2)
		}
	}
}
