package stream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// arguments are the job's flags: --name VALUE or --name=VALUE, as Env's methods ask for them.
// What was not given or not understood is collected and reported together, after the whole job
// was built; until then the asking code gets a zero value.
type arguments struct {
	given    []string
	used     []bool // by some flag, or as its value
	isValue  []bool // of the flag before it
	declared []argument
	errs     []error
}

type argument struct {
	name, short string
	usage       string
	required    bool
	fallback    string
	flag        bool // takes no value
	missing     bool
}

func newArguments(given []string) *arguments {
	if len(given) > 0 && given[0] == "--" { // it came along from before the job's arguments
		given = given[1:]
	}
	return &arguments{given: given, used: make([]bool, len(given)), isValue: make([]bool, len(given))}
}

// Arg returns the value of --name, which must be given. A usage text shows in --help.
//
// If it is missing Arg returns "", and the job, once built, ends with an error that lists all
// that are missing.
func (e *Env) Arg(name string, usage ...string) string {
	v, _ := e.args.value(argument{name: name, usage: strings.Join(usage, " "), required: true})
	return v
}

// ArgOr returns the value of --name, or fallback if it is not given.
func (e *Env) ArgOr(name, fallback string, usage ...string) string {
	if v, ok := e.args.value(argument{name: name, usage: strings.Join(usage, " "), fallback: fallback}); ok {
		return v
	}
	return fallback
}

// IntArg returns the value of --name, which must be given, as an integer.
func (e *Env) IntArg(name string, usage ...string) int {
	return parsed(e.args, argument{name: name, usage: strings.Join(usage, " "), required: true}, 0, "an integer", strconv.Atoi)
}

// IntArgOr returns the value of --name as an integer, or fallback if it is not given.
func (e *Env) IntArgOr(name string, fallback int, usage ...string) int {
	a := argument{name: name, usage: strings.Join(usage, " "), fallback: strconv.Itoa(fallback)}
	return parsed(e.args, a, fallback, "an integer", strconv.Atoi)
}

// FloatArgOr returns the value of --name as a number, or fallback if it is not given.
func (e *Env) FloatArgOr(name string, fallback float64, usage ...string) float64 {
	a := argument{name: name, usage: strings.Join(usage, " "), fallback: strconv.FormatFloat(fallback, 'g', -1, 64)}
	return parsed(e.args, a, fallback, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// DurationArgOr returns the value of --name as a duration like 1m30s, or fallback if it is not
// given.
func (e *Env) DurationArgOr(name string, fallback time.Duration, usage ...string) time.Duration {
	a := argument{name: name, usage: strings.Join(usage, " "), fallback: fallback.String()}
	return parsed(e.args, a, fallback, "a duration like 1m30s", time.ParseDuration)
}

// BoolArg reports whether --name was given; --name=false counts as not given.
func (e *Env) BoolArg(name string, usage ...string) bool {
	return e.args.set(argument{name: name, usage: strings.Join(usage, " "), flag: true})
}

func parsed[V any](args *arguments, a argument, fallback V, expected string, parse func(string) (V, error)) V {
	s, ok := args.value(a)
	if !ok {
		return fallback
	}
	v, err := parse(s)
	if err != nil {
		args.errs = append(args.errs, fmt.Errorf("--%s %q: expected %s", a.name, s, expected))
		return fallback
	}
	return v
}

// value finds --name VALUE or --name=VALUE. Of several, the last counts.
func (a *arguments) value(arg argument) (v string, ok bool) {
	for i, given := range a.given {
		inline, hasInline, matches := arg.match(given)
		if a.isValue[i] || !matches {
			continue
		}
		a.used[i] = true
		switch {
		case hasInline:
			v, ok = inline, true
		case i+1 < len(a.given) && !strings.HasPrefix(a.given[i+1], "--"):
			v, ok, a.used[i+1], a.isValue[i+1] = a.given[i+1], true, true, true
		case !a.isAgain(arg.name):
			a.errs = append(a.errs, fmt.Errorf("%s needs a value: %s VALUE", given, given))
			arg.required = false // it is not missing: one error is enough
		}
	}
	arg.missing = arg.required && !ok
	a.declare(arg)
	return v, ok
}

// set reports whether a flag without a value is given.
func (a *arguments) set(arg argument) bool {
	set := false
	for i, given := range a.given {
		inline, hasInline, matches := arg.match(given)
		if a.isValue[i] || !matches {
			continue
		}
		a.used[i] = true
		set = !hasInline || inline != "false"
	}
	a.declare(arg)
	return set
}

// match reports whether given is the flag, and the value in it if it has one.
func (arg argument) match(given string) (inline string, hasInline, matches bool) {
	name, inline, hasInline := strings.Cut(given, "=")
	return inline, hasInline, name == "--"+arg.name || arg.short != "" && name == "-"+arg.short
}

// isAgain reports whether the argument was asked for before: a job may ask twice.
func (a *arguments) isAgain(name string) bool {
	return slices.ContainsFunc(a.declared, func(d argument) bool { return d.name == name })
}

func (a *arguments) declare(arg argument) {
	if !a.isAgain(arg.name) {
		a.declared = append(a.declared, arg)
	}
}

// values returns what was given, by name, for Context.Arg.
func (a *arguments) values() map[string]string {
	m := map[string]string{}
	for _, d := range slices.Clone(a.declared) {
		if d.flag {
			m[d.name] = strconv.FormatBool(a.set(d))
			continue
		}
		v, ok := a.value(d)
		if !ok {
			v = d.fallback
		}
		m[d.name] = v
	}
	return m
}

// usageError is the fault of the command line, not of the job.
type usageError struct{ error }

// problems reports the missing, the malformed and the unknown.
func (a *arguments) problems() []error {
	errs := slices.Clone(a.errs)
	var missing, how []string
	for _, d := range a.declared {
		if d.missing {
			missing = append(missing, d.name)
			how = append(how, "--"+d.name+" VALUE")
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("missing arguments: %s; pass them as %s", strings.Join(missing, ", "), strings.Join(how, " ")))
	}
	for i, given := range a.given {
		if a.used[i] {
			continue
		}
		if strings.HasPrefix(given, "-") {
			errs = append(errs, fmt.Errorf("unknown flag %s; --help lists those of this job", given))
		} else {
			errs = append(errs, fmt.Errorf("unexpected argument %q; arguments are passed as --name VALUE", given))
		}
	}
	for i := range errs {
		errs[i] = usageError{errs[i]}
	}
	return errs
}
