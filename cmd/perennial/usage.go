package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a mistake in how the command was called.
type usageError struct{ error }

// exactly is cobra.ExactArgs with a message that names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s takes %s and got %s; %s --help tells more", cmd.Name(),
				cmp.Or(strings.Join(names, " "), "no argument"), quoted(args), cmd.CommandPath())}
		}
		return nil
	}
}

// quoted is how a message shows what was given.
func quoted(args []string) string {
	if len(args) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%q", args)
}

// noCommand names the commands that are nearly called so.
func noCommand(root *cobra.Command, name string) error {
	hint := "perennial --help lists them"
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{fmt.Errorf("there is no command %q; %s", name, hint)}
}

// flagError leaves out which function of Go's could not read a value.
func flagError(cmd *cobra.Command, err error) error {
	text, _, _ := strings.Cut(err.Error(), ": strconv.")
	return usageError{fmt.Errorf("%s; %s --help tells what there is", text, cmd.CommandPath())}
}

// checkBuiltIn makes mistakes of cobra's own commands, which only print help, mistakes of usage.
func checkBuiltIn(root *cobra.Command) {
	root.SuggestionsMinimumDistance = 2
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				if found, _, err := root.Find(args); err != nil || found == root && len(args) > 0 {
					return noCommand(root, strings.Join(args, " "))
				}
				return nil
			}
		case "completion":
			c.Args = cobra.ArbitraryArgs
			c.RunE = func(_ *cobra.Command, args []string) error {
				return usageError{fmt.Errorf("completion: of which shell? Expected bash, zsh, fish or powershell, and got %s", quoted(args))}
			}
		}
	}
}
