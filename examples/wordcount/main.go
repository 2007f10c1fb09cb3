// Wordcount counts the words in text files: a word is a longest run of the ASCII letters
// A to Z and a to z, and "The" is another word than "the".
//
//	wordcount --input PATH --output DIR [--match GLOB] [--rate LINES_PER_SECOND]
package main

import (
	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/stream"
)

// WordCount is a row of the output.
type WordCount struct {
	Word  string
	Count uint64
}

func main() { stream.Main("wordcount", build) }

func build(env *stream.Env) {
	input := env.Arg("input", "a text file, a directory or a pattern")
	output := env.Arg("output", "a directory for the result, part-*.csv")
	match := env.ArgOr("match", "", "of a directory, only files with such names: *.txt")
	rate := env.FloatArgOr("rate", 0, "lines read per second, 0 for no limit")

	lines := stream.From(env, "lines", file.Lines(input, file.Match(match)), stream.Rate(rate))
	words := stream.FlatMap(lines, "words", splitWords)
	count := stream.Aggregate(stream.KeyBy(words, itself), "count", add, row)
	stream.To(count, "counts", file.CSV[WordCount](output))
}

func splitWords(line string, emit func(string)) {
	begin := 0
	for i := range len(line) {
		if isLetter(line[i]) {
			continue
		}
		if i > begin {
			emit(line[begin:i])
		}
		begin = i + 1
	}
	if begin < len(line) {
		emit(line[begin:])
	}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func itself(word string) string { return word }

func add(count *uint64, _ string) { *count++ }

func row(word string, count uint64) WordCount { return WordCount{word, count} }
