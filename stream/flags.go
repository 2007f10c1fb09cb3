package stream

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// flags are those that every job has.
type flags struct {
	parallelism int // 0: not said
	quiet       bool
	help        bool
}

func (a *arguments) common() flags {
	p := argument{name: "parallelism", short: "p", usage: "in how many subtasks operators run that do not say otherwise"}
	return flags{
		parallelism: parsed(a, p, 0, "a number of 1 or more", parseParallelism),
		quiet:       a.set(argument{name: "quiet", short: "q", flag: true, usage: "no progress and no summary"}),
		help:        a.set(argument{name: "help", short: "h", flag: true, usage: "this text"}),
	}
}

func parseParallelism(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > mostMaxParallelism {
		return 0, errors.New("out of range")
	}
	return n, nil
}

// usage writes what the job's arguments are.
func (e *Env) usage(w io.Writer, program string) {
	fmt.Fprintf(w, "%s: a Perennial job. By hand it runs in one process; \"perennial run\" gives it to a cluster.\n\n", e.name)
	fmt.Fprintf(w, "Usage: %s [arguments]\n\n", program)
	var own, common []argument
	for _, d := range e.args.declared {
		switch d.name {
		case "parallelism", "quiet", "help":
			common = append(common, d)
		default:
			own = append(own, d)
		}
	}
	for _, d := range append(own, common...) {
		fmt.Fprintf(w, "  %-28s %s\n", d.form(), d.explanation())
	}
}

func (arg argument) form() string {
	s := "--" + arg.name
	if arg.short != "" {
		s = "-" + arg.short + ", " + s
	}
	if !arg.flag {
		s += " VALUE"
	}
	return s
}

func (arg argument) explanation() string {
	switch {
	case arg.required:
		return join(arg.usage, "(required)")
	case arg.fallback != "":
		return join(arg.usage, "(default "+arg.fallback+")")
	}
	return arg.usage
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}
