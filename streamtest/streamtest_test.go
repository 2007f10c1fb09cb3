package streamtest_test

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/stream"
	"github.com/perennial-io/perennial/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type wordCount struct {
	Word  string
	Count int
}

func countWords(lines stream.Stream[string]) stream.Stream[wordCount] {
	words := stream.FlatMap(lines, "words", func(line string, emit func(string)) {
		for word := range strings.FieldsSeq(line) {
			emit(word)
		}
	})
	byWord := stream.KeyBy(words, func(w string) string { return w })
	return stream.Aggregate(byWord, "count",
		func(n *int, _ string) { *n++ },
		func(word string, n int) wordCount { return wordCount{word, n} })
}

func TestTransform(t *testing.T) {
	input := []string{"to be or not", "to be", "be"}
	want := []wordCount{{"be", 3}, {"not", 1}, {"or", 1}, {"to", 2}}
	for _, p := range []int{1, 2, 5} {
		got := streamtest.Transform(t, input, countWords, streamtest.Parallelism(p))
		slices.SortFunc(got, func(a, b wordCount) int { return strings.Compare(a.Word, b.Word) })
		if !slices.Equal(got, want) {
			t.Errorf("parallelism %d: got %v, want %v", p, got, want)
		}
	}
}

func TestRunError(t *testing.T) {
	err := streamtest.RunError(t, func(env *stream.Env) {
		env.Arg("input")
		streamtest.Collect(streamtest.From(env, "in", []int{1}), "out")
	})
	if err == nil || !strings.Contains(err.Error(), "--input VALUE") {
		t.Fatalf("got %v, want an error that names the missing argument", err)
	}
	err = streamtest.RunError(t, func(env *stream.Env) {
		env.Arg("input")
		streamtest.Collect(streamtest.From(env, "in", []int{1}), "out")
	}, streamtest.Args("--input", "x"))
	if err != nil {
		t.Fatalf("with the argument: %v", err)
	}
}
