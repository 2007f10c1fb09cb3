package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/perennial-io/perennial/internal/demo"
)

func demoCommand() *cobra.Command {
	c := demo.Config{Out: os.Stdout}
	cmd := &cobra.Command{
		Use: "demo", Short: "Count words on a cluster whose leader and tasks are killed again and again, and check the result", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := completeDemo(&c); err != nil {
				return usageError{err}
			}
			// A second Ctrl-C, which ends other commands at once, would leave files behind.
			signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
			r, err := demo.Run(cmd.Context(), c)
			if err != nil {
				if cmd.Context().Err() != nil {
					err = fmt.Errorf("interrupted")
				}
				fmt.Println("demo: FAILED", err)
				return fmt.Errorf("the demo was not carried through")
			}
			r.Report(os.Stdout, c.Kills, c.Tasks)
			if !r.OK(c.Kills, c.Tasks) {
				return fmt.Errorf("the demo did not show what it is to show")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.Job, "job", "", "directory or binary of the word count (default: examples/wordcount beside bin)")
	flags.StringVar(&c.Input, "input", "", "directory whose .go files are counted (default: Go's own standard library)")
	flags.IntVar(&c.Kills, "kills", 10, "how many leaders must be killed for the demo to be OK")
	flags.IntVar(&c.Tasks, "task-kills", 2, "how many task processes must be killed for the demo to be OK")
	flags.DurationVar(&c.Length, "length", 20*time.Second, "about how long the job lasts")
	return cmd
}

func completeDemo(c *demo.Config) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.Binary = self
	if term.IsTerminal(int(os.Stdout.Fd())) {
		c.Width = func() int { width, _ := terminalSize(os.Stdout); return width }
	}
	if c.Job == "" {
		examples := filepath.Join(filepath.Dir(self), "..", "examples")
		c.Job = filepath.Join(examples, "bin", "wordcount") // of the distribution
		if _, err := os.Stat(c.Job); err != nil {
			c.Job = filepath.Join(examples, "wordcount") // of a checkout
		}
		if _, err := os.Stat(c.Job); err != nil {
			return fmt.Errorf("the word count is not where a checkout has it: %w; name its directory or binary with --job", err)
		}
	}
	if c.Input == "" {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return fmt.Errorf("find Go's source: %w; or name a directory with --input", err)
		}
		c.Input = filepath.Join(strings.TrimSpace(string(root)), "src")
	}
	if c.Length < time.Second || c.Kills < 0 || c.Tasks < 0 {
		return fmt.Errorf("--length %s, --kills %d, --task-kills %d: expected at least 1s, and no negative number", c.Length, c.Kills, c.Tasks)
	}
	return nil
}
