package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/tests3"
)

// These tests run the built command as a person does, against one small cluster without high
// availability that they share.

var (
	binaries = struct{ perennial, wordcount, mistakes string }{}
	shared   *localcluster.Cluster
)

func TestMain(m *testing.M) {
	tests3.Setenv()
	dir, err := os.MkdirTemp("", "perennial-command-")
	if err == nil {
		err = prepare(dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
		shared.Stop()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	forks := goleak.IgnoreAnyFunction("github.com/perennial-io/perennial/internal/localcluster.init.func1.1") // lives as long as the process
	if err := goleak.Find(forks); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines left behind:", err)
		code = 1
	}
	os.Exit(code)
}

// prepare builds the binaries and starts the cluster.
func prepare(dir string) (err error) {
	for pkg, path := range map[string]*string{
		"cmd/perennial": &binaries.perennial, "examples/wordcount": &binaries.wordcount, "cmd/perennial/testdata/mistakes": &binaries.mistakes,
	} {
		*path = filepath.Join(dir, filepath.Base(pkg))
		if text, err := exec.Command("go", "build", "-o", *path, "github.com/perennial-io/perennial/"+pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
	}
	shared, err = localcluster.Start(localcluster.Config{
		Binary: binaries.perennial, Dir: dir, JobManagers: 1, TaskManagers: 1, Slots: 2,
		Settings: map[string]string{"taskmanager.timeout": "2s"},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 30*time.Second, errors.New("the cluster did not come up"))
	defer cancel()
	c := shared.Client()
	defer c.Close()
	if err := shared.Ready(ctx, c); err != nil {
		shared.Stop()
		return fmt.Errorf("%w\n%s", err, shared.Logs())
	}
	return nil
}

// result is what a command left.
type result struct {
	stdout, stderr string
	status         int
}

// command is the command as it is typed, with an environment that configures nothing, and its data directory where it is typed.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binaries.perennial, args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PERENNIAL_") })
	cmd.Env = append(cmd.Env, "PERENNIAL_DATA_DIR="+dir)
	return cmd
}

// typed runs a command in an empty directory until it ends.
func typed(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, command(limited(t), t.TempDir(), args...))
}

// asked is typed of the shared cluster.
func asked(t *testing.T, args ...string) result {
	t.Helper()
	_, port, err := net.SplitHostPort(shared.Rest[0])
	if err != nil {
		t.Fatal(err)
	}
	return typed(t, append([]string{args[0], "-D", "rest.port=" + port}, args[1:]...)...)
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if failed := cmd.Run(); failed != nil && cmd.ProcessState == nil {
		t.Fatal(failed)
	}
	return result{out.String(), err.String(), cmd.ProcessState.ExitCode()}
}

// expect requires a status, and every one of some texts in what was written to standard error.
func (r result) expect(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d; standard error:\n%s", r.status, status, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("standard error does not mention %q:\n%s", text, r.stderr)
		}
	}
	if strings.Contains(r.stderr, "goroutine 1 [running]") && strings.Contains(r.stderr, "main.main()\n\tcmd/") {
		t.Errorf("the command itself panicked:\n%s", r.stderr)
	}
}

// background is a command that runs until it is told to stop.
type background struct {
	cmd *exec.Cmd
	log string // file of its standard error
	out string // file of its standard output
}

func inBackground(t *testing.T, dir string, args ...string) *background {
	t.Helper()
	files := t.TempDir()
	b := &background{cmd: command(limited(t), dir, args...), log: filepath.Join(files, "stderr"), out: filepath.Join(files, "stdout")}
	f, err := os.Create(b.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out, err := os.Create(b.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	b.cmd.Stdout, b.cmd.Stderr = out, f
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.cmd.ProcessState == nil {
			_ = b.cmd.Process.Kill()
			_ = b.cmd.Wait()
		}
	})
	return b
}

// says waits until the command has written text to its standard error.
func (b *background) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, func() error { return holds(b.log, text) })
}

// interrupt is Ctrl-C; it returns the exit status, and how long the command took to end.
func (b *background) interrupt(t *testing.T) (status int, took time.Duration) {
	t.Helper()
	began := time.Now()
	if err := b.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = b.cmd.Wait() // the status tells
	return b.cmd.ProcessState.ExitCode(), time.Since(began)
}

// holds tells whether a file has a text in it.
func holds(path, text string) error {
	data, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(data), text) {
		err = fmt.Errorf("%q is not in:\n%s", text, data)
	}
	return err
}

// eventually tries until it succeeds, for some seconds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// rpcPort is where the shared cluster's TaskManagers connect.
func rpcPort(t *testing.T) string {
	t.Helper()
	c := shared.Client()
	defer c.Close()
	list, err := c.JobManagers(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(list[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ended waits until a job is in a terminal state.
func ended(t *testing.T, id string) client.Job {
	t.Helper()
	c := shared.Client()
	defer c.Close()
	j, err := c.Wait(limited(t), client.ID(id), 20*time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
