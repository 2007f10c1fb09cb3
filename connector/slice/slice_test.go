package slice

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/operator"
)

func TestOf(t *testing.T) {
	for n := range 200 {
		values := make([]int, n)
		for i := range values {
			values[i] = i
		}
		ctx := operator.NewContext(context.Background(), operator.ContextConfig{})
		src := Of(values...)
		got := []int{}
		err := src.Splits(ctx, func(s connector.Split) error {
			r, err := src.Open(ctx, s)
			for dst := make([]int, 3); err == nil; {
				var n int
				n, err = r.Next(dst)
				got = append(got, dst[:n]...)
			}
			if err != io.EOF {
				return err
			}
			return r.Close()
		})
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%d values: %v, %v", n, got, err)
		}
	}
}

func TestRemaining(t *testing.T) {
	src := Of(0, 1, 2, 3, 4)
	for read := range 3 {
		r, err := src.Open(nil, connector.Split{From: 1, To: 4})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Next(make([]int, read)); n != read || err != nil {
			t.Fatalf("Next = %d, %v", n, err)
		}
		left := r.(connector.Resumable).Remaining()
		if want := int64(1 + read); left.From != want || left.To != 4 {
			t.Errorf("after %d values %+v is left", read, left)
		}
	}
	for _, s := range []connector.Split{{From: -1}, {From: 2, To: 1}, {To: 6}} {
		if _, err := src.Open(nil, s); err == nil {
			t.Errorf("Open takes %+v", s)
		}
	}
}

// Records may be overwritten on their way; the values of the job may not.
func TestNextCopies(t *testing.T) {
	values := []int{1, 2}
	r, err := Of(values...).Open(nil, connector.Split{To: 2})
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]int, 2)
	if n, err := r.Next(dst); n != 2 || err != io.EOF {
		t.Fatalf("Next = %d, %v", n, err)
	}
	dst[0] = 9
	if values[0] != 1 {
		t.Error("the value changed")
	}
}
