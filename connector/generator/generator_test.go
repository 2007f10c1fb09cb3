package generator

import (
	"context"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/connector"
	"github.com/perennial-io/perennial/internal/operator"
)

func readers(n int) *connector.Context {
	return operator.NewContext(context.Background(), operator.ContextConfig{Parallelism: n})
}

func identity(i uint64) uint64 { return i }

func splitsOf(t *testing.T, ctx *connector.Context, src connector.Source[uint64]) []connector.Split {
	t.Helper()
	var splits []connector.Split
	err := src.Splits(ctx, func(s connector.Split) error {
		splits = append(splits, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return splits
}

func TestCountMakesEachElementOnce(t *testing.T) {
	for _, n := range []uint64{0, 1, 5, 64, 1000, 200_000} {
		src := Count(n, identity)
		next := uint64(0)
		for _, s := range splitsOf(t, readers(3), src) {
			r, err := src.Open(readers(3), s)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]uint64, 100)
			for err == nil {
				var got int
				got, err = r.Next(dst)
				for _, v := range dst[:got] {
					if v != next {
						t.Fatalf("n=%d: element %d, want %d", n, v, next)
					}
					next++
				}
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		}
		if next != n {
			t.Errorf("n=%d: %d elements", n, next)
		}
	}
}

// Of three readers each has every third element, whoever opens the split.
func TestUnboundedIsSharedOut(t *testing.T) {
	src := Unbounded(identity)
	if src.Bounded() {
		t.Error("Unbounded says that it is bounded")
	}
	splits := splitsOf(t, readers(3), src)
	if len(splits) != 3 {
		t.Fatalf("%d splits for 3 readers", len(splits))
	}
	for i, s := range splits {
		r, err := src.Open(readers(5), s)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]uint64, 4)
		for round := range 3 {
			n, err := r.Next(dst)
			if n != len(dst) || err != nil {
				t.Fatalf("Next = %d, %v", n, err)
			}
			for j, v := range dst {
				if want := uint64(i + 3*(4*round+j)); v != want {
					t.Errorf("split %d: element %d, want %d", i, v, want)
				}
			}
		}
	}
}

// A reader of what is left makes the elements that come next.
func TestRemaining(t *testing.T) {
	for _, src := range []connector.Source[uint64]{Count(100_000, identity), Unbounded(identity)} {
		split := splitsOf(t, readers(3), src)[1]
		whole, err := src.Open(readers(3), split)
		if err != nil {
			t.Fatal(err)
		}
		for size := range 10 {
			r, err := src.Open(readers(5), split)
			if err != nil {
				t.Fatal(err)
			}
			got, want := make([]uint64, size), make([]uint64, size)
			_, err1 := r.Next(got)
			_, err2 := whole.Next(want)
			if err1 != nil || err2 != nil || !slices.Equal(got, want) {
				t.Fatalf("%v, %v, want %v, %v", got, err1, want, err2)
			}
			split = r.(connector.Resumable).Remaining()
		}
	}
}

func TestGeneratorRefuses(t *testing.T) {
	tests := []struct {
		src  connector.Source[uint64]
		want string
	}{
		{Count(math.MaxUint64, identity), "generator of 18446744073709551615 elements"},
		{Count[uint64](1, nil), "without a function"},
		{Unbounded[uint64](nil), "without a function"},
	}
	for _, test := range tests {
		if err := test.src.(connector.Checker).Check(readers(1)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Check = %v, want %q", err, test.want)
		}
	}
	for _, s := range []connector.Split{{From: -1}, {From: 2, To: 1}} {
		if _, err := Count(10, identity).Open(readers(1), s); err == nil {
			t.Errorf("Open takes %+v", s)
		}
	}
	if _, err := Unbounded(identity).Open(readers(1), connector.Split{}); err == nil {
		t.Error("Open takes a split without a step")
	}
}

func BenchmarkCount(b *testing.B) {
	src := Count(1<<40, identity)
	r, err := src.Open(readers(1), connector.Split{To: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]uint64, 1024)
	records := 0
	for b.Loop() {
		n, err := r.Next(dst)
		if err != nil {
			b.Fatal(err)
		}
		records += n
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}
