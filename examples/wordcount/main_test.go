package main

import (
	"slices"
	"testing"
)

func TestSplitWords(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"", nil},
		{" \t12_", nil},
		{"word", []string{"word"}},
		{"The cat, the hat.", []string{"The", "cat", "the", "hat"}},
		{"x2y z_", []string{"x", "y", "z"}},
		{"naïve @A[Z`a{z", []string{"na", "ve", "A", "Z", "a", "z"}},
	}
	for _, test := range tests {
		var got []string
		splitWords(test.line, func(w string) { got = append(got, w) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.line, got, test.want)
		}
	}
}

func BenchmarkSplitWords(b *testing.B) {
	const line = "\t// The reader reads on in the file: up to the end of the part, then a little at a time."
	words := 0
	emit := func(string) { words++ }
	for b.Loop() {
		splitWords(line, emit)
	}
	b.ReportMetric(float64(words)/b.Elapsed().Seconds()/1e6, "Mwords/s")
}
