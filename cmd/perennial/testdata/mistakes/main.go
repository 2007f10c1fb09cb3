// Mistakes is a job for each mistake that a job can be: --what names it.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/perennial-io/perennial/connector/discard"
	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

// uncarried is a record that no codec can carry.
type uncarried struct {
	Name  string
	Reply chan int
}

// mistakes are the jobs by name.
var mistakes = map[string]func(env *stream.Env){
	"none":       func(env *stream.Env) { end(upper(words(env), "upper")) },
	"twins":      func(env *stream.Env) { end(upper(upper(words(env), "upper"), "upper")) },
	"no sink":    func(env *stream.Env) { upper(words(env), "upper") },
	"no input":   func(env *stream.Env) { end(upper(stream.Stream[string]{}, "upper")) },
	"no codec":   uncodable,
	"panic":      func(env *stream.Env) { end(stream.Map(words(env), "boom", panics)) },
	"exit":       func(env *stream.Env) { end(stream.Map(words(env), "leave", exits)) },
	"another":    func(env *stream.Env) { end(upper(words(env), fmt.Sprint("process ", os.Getpid()))) },
	"build":      func(*stream.Env) { panic("no job today") },
	"prints":     func(env *stream.Env) { end(stream.Map(numbers(env), "print", prints)) },
	"never ends": func(env *stream.Env) { end(upper(numbers(env), "upper")) },
}

func main() {
	stream.Main("mistakes", func(env *stream.Env) {
		if build := mistakes[env.Arg("what")]; build != nil {
			build(env)
		}
	})
}

func prints(n string) string {
	fmt.Println("number", n)
	fmt.Fprintln(os.Stderr, "remark", n)
	return n
}

func words(env *stream.Env) stream.Stream[string] {
	return stream.From(env, "words", slice.Of("a", "b", "c"))
}

func numbers(env *stream.Env) stream.Stream[string] {
	all := generator.Unbounded(func(i uint64) string { return fmt.Sprint(i) })
	return stream.From(env, "numbers", all, stream.Rate(1000))
}

func upper(s stream.Stream[string], name string) stream.Stream[string] {
	return stream.Map(s, name, strings.ToUpper)
}

func end(s stream.Stream[string]) { stream.To(s, "out", discard.All[string]()) }

func uncodable(env *stream.Env) {
	s := stream.Map(words(env), "wrap", func(w string) uncarried { return uncarried{Name: w} })
	stream.To(stream.Rebalance(s), "out", discard.All[uncarried]())
}

func panics(string) string { panic("the sky is falling") }

func exits(word string) string {
	fmt.Fprintln(os.Stderr, "leaving for a reason")
	os.Exit(3)
	return word
}
