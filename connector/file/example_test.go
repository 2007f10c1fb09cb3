package file_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/perennial-io/perennial/connector/file"
	"github.com/perennial-io/perennial/connector/slice"
	"github.com/perennial-io/perennial/stream"
)

// temporary returns a directory for an example, and a function that removes it.
func temporary() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "perennial-example-")
	if err != nil {
		panic(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// show prints the visible part files of a directory.
func show(dir string) {
	parts, _ := filepath.Glob(filepath.Join(dir, "part-*"))
	for _, part := range parts {
		text, err := os.ReadFile(part)
		fmt.Printf("%s:\n%s", filepath.Base(part), text)
		if err != nil {
			fmt.Println(err)
		}
	}
}

func ExampleLines() {
	dir, remove := temporary()
	defer remove()
	if err := os.WriteFile(filepath.Join(dir, "poem.txt"), []byte("a line\nanother\r\nthe last"), 0o666); err != nil {
		fmt.Println(err)
	}

	err := stream.Run(context.Background(), "shout", []string{"--input", dir}, func(env *stream.Env) {
		lines := stream.From(env, "lines", file.Lines(env.Arg("input"), file.Match("*.txt")))
		loud := stream.Map(lines, "loud", strings.ToUpper)
		stream.ForEach(loud, "print", func(line string) { fmt.Println(line) })
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// A LINE
	// ANOTHER
	// THE LAST
}

func ExampleWatch() {
	dir, remove := temporary()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	err := stream.Run(ctx, "follow", []string{"--input", dir}, func(env *stream.Env) {
		lines := stream.From(env, "lines", file.Watch(env.Arg("input"), time.Millisecond, file.Atomic()))
		// A second source of the same job brings a file into place, later.
		stream.ForEach(stream.FromFunc(env, "bring", func(_ *stream.Context, emit func(string)) error {
			hidden := filepath.Join(dir, ".news.txt")
			return errors.Join(os.WriteFile(hidden, []byte("it rains\nit snows\n"), 0o666), os.Rename(hidden, filepath.Join(dir, "news.txt")))
		}), "nothing", func(string) {})
		stream.ForEach(lines, "print", func(line string) {
			fmt.Println(line)
			if line == "it snows" {
				cancel() // else it would go on for ever
			}
		})
	})
	fmt.Println(err)
	// Output:
	// it rains
	// it snows
	// context canceled
}

func ExampleCSV() {
	type City struct {
		Name  string
		Lat   float64 `csv:"latitude"`
		Large bool
	}
	dir, remove := temporary()
	defer remove()

	err := stream.Run(context.Background(), "cities", []string{"--output", dir}, func(env *stream.Env) {
		cities := stream.From(env, "cities", slice.Of(City{"Oslo", 59.91, true}, City{"Ii, Finland", 65.32, false}))
		stream.To(cities, "out", file.CSV[City](env.Arg("output")))
	})
	if err != nil {
		fmt.Println(err)
	}
	show(dir)
	// Output:
	// part-00000-1.csv:
	// Name,latitude,Large
	// Oslo,59.91,true
	// "Ii, Finland",65.32,false
}

func ExampleJSONLines() {
	type Order struct {
		ID    int      `json:"id"`
		Items []string `json:"items"`
	}
	dir, remove := temporary()
	defer remove()

	err := stream.Run(context.Background(), "orders", []string{"--output", dir}, func(env *stream.Env) {
		orders := stream.From(env, "orders", slice.Of(Order{1, []string{"tea", "\"milk\""}}, Order{2, nil}))
		stream.To(orders, "out", file.JSONLines[Order](env.Arg("output")))
	})
	if err != nil {
		fmt.Println(err)
	}
	show(dir)
	// Output:
	// part-00000-1.jsonl:
	// {"id":1,"items":["tea","\"milk\""]}
	// {"id":2,"items":null}
}

func ExampleRaw() {
	dir, remove := temporary()
	defer remove()

	err := stream.Run(context.Background(), "notes", []string{"--output", dir}, func(env *stream.Env) {
		notes := stream.From(env, "notes", slice.Of("first", "second", "third"))
		stream.To(notes, "out", file.Raw[string](env.Arg("output"), file.Separator("\n--\n")))
	})
	if err != nil {
		fmt.Println(err)
	}
	show(dir)
	// Output:
	// part-00000-1.txt:
	// first
	// --
	// second
	// --
	// third
	// --
}

func ExampleRollSize() {
	dir, remove := temporary()
	defer remove()

	err := stream.Run(context.Background(), "notes", []string{"--output", dir}, func(env *stream.Env) {
		notes := stream.From(env, "notes", slice.Of("first", "second", "third"))
		stream.To(notes, "out", file.Raw[string](env.Arg("output"), file.RollSize(10)))
	})
	if err != nil {
		fmt.Println(err)
	}
	show(dir)
	// Output:
	// part-00000-1-1.txt:
	// third
	// part-00000-1.txt:
	// first
	// second
}

func ExampleBucket() {
	type City struct{ Name, Country string }
	dir, remove := temporary()
	defer remove()

	err := stream.Run(context.Background(), "cities", []string{"--output", dir}, func(env *stream.Env) {
		cities := stream.From(env, "cities", slice.Of(City{"Oslo", "no"}, City{"Ii", "fi"}, City{"Bergen", "no"}))
		byCountry := file.Bucket(func(c City) string { return "country=" + c.Country })
		stream.To(cities, "out", file.CSV[City](env.Arg("output"), byCountry))
	})
	if err != nil {
		fmt.Println(err)
	}
	show(filepath.Join(dir, "country=fi"))
	show(filepath.Join(dir, "country=no"))
	// Output:
	// part-00000-1-1.csv:
	// Name,Country
	// Ii,fi
	// part-00000-1.csv:
	// Name,Country
	// Oslo,no
	// Bergen,no
}
