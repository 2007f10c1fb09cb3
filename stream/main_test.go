//go:build unix

package stream_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/connector/generator"
	"github.com/perennial-io/perennial/stream"
)

// jobVariable makes this binary the job below, run by hand.
const jobVariable = "STREAM_TEST_JOB"

func TestMain(m *testing.M) {
	if os.Getenv(jobVariable) != "" {
		stream.Main("byhand", byHandJob)
	}
	goleak.VerifyTestMain(m)
}

// byHandJob counts up to --count, and says when the first record has arrived.
func byHandJob(env *stream.Env) {
	n := env.IntArg("count", "how far to count")
	fail := env.BoolArg("fail", "fail at each record")
	policy := stream.Fail
	if env.BoolArg("skip", "skip records that fail") {
		policy = stream.Skip
	}
	s := stream.From(env, "numbers", generator.Count(uint64(max(n, 0)), func(i uint64) uint64 { return i }), stream.Rate(env.FloatArgOr("rate", 0)))
	stream.ToFunc(s, "show", func(ctx *stream.Context) (func(uint64) error, error) {
		shown := ctx.Counter("shown")
		return func(i uint64) error {
			shown.Inc()
			if i == 0 {
				_, _ = os.Stdout.WriteString("begun\n")
			}
			if fail {
				return errors.New("as you like")
			}
			return nil
		}, nil
	}, stream.OnError(policy))
}

func byHand(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	stderr = &bytes.Buffer{}
	cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), jobVariable+"=1"), stderr
	return cmd, stderr
}

func TestMainByHand(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		status int
		stderr string // a part of it; "" means that it is empty
		stdout string // likewise
	}{
		{"finished", []string{"--count", "1000", "-p", "2"}, 0, "byhand 0s | numbers 1k; finished after ", "begun"},
		{"quiet", []string{"--count", "1000", "--quiet"}, 0, "", "begun"},
		{"failed", []string{"--count", "1000", "--fail"}, 1, `job "byhand" failed: operator "show", subtask 0: as you like`, "begun"},
		{"skipped", []string{"--count", "1000", "--fail", "--skip"}, 0, "\noperator \"show\": 1000 records failed and were given up\n", "begun"},
		{"metrics", []string{"--count", "1000", "-p", "2"}, 0, "\noperator \"show\": shown 1000\n", "begun"},
		{"missing argument", nil, 2, `job "byhand" cannot run: missing arguments: count; pass them as --count VALUE`, ""},
		{"unknown flag", []string{"--count=1", "--colour"}, 2, "unknown flag --colour", ""},
		{"help", []string{"--help"}, 0, "", "--count VALUE                how far to count (required)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cmd, stderr := byHand(t, test.args...)
			stdout, _ := cmd.Output() // the status tells
			if got := cmd.ProcessState.ExitCode(); got != test.status {
				t.Errorf("exit status %d, want %d", got, test.status)
			}
			for _, s := range []struct{ what, got, want string }{{"stderr", stderr.String(), test.stderr}, {"stdout", string(stdout), test.stdout}} {
				if !strings.Contains(s.got, s.want) || s.want == "" && s.got != "" {
					t.Errorf("%s is %q, want %q in it", s.what, s.got, s.want)
				}
			}
		})
	}
}

// TestInterrupt: Ctrl-C cancels the job in order.
func TestInterrupt(t *testing.T) {
	cmd, stderr := byHand(t, "--count", "1000000", "--rate", "100")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "begun\n" {
		t.Fatalf("it printed %q (%v): %s", line, err, stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status tells
	if got := cmd.ProcessState.ExitCode(); got != 1 || !strings.Contains(stderr.String(), `job "byhand" was cancelled; no output is visible`) {
		t.Errorf("exit status %d, %s", got, stderr)
	}
}
