package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/job"
)

// text makes a file of n lines of three words.
func text(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(strings.Repeat("one two three\n", n)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNoJob: what is no job that this cluster can run is told before anything is submitted.
func TestNoJob(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	foreign := func(name string, env ...string) string {
		path := filepath.Join(t.TempDir(), name)
		build := exec.Command("go", "build", "-o", path, "./testdata/nojob")
		build.Env = append(os.Environ(), append(env, "CGO_ENABLED=0")...)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return path
	}
	plain := text(t, 1)
	for path, want := range map[string][]string{
		plain:                         {plain, "neither ELF nor Mach-O", "a directory with a Go package"},
		filepath.Join(here, "nosuch"): {"nosuch", "expected a directory with a Go package, or a binary"},
		t.TempDir():                   {"cannot be built", "go: "},
		filepath.Join(here, "testdata", "library"):             {"testdata/library", "its package is not main"},
		filepath.Join(here, "testdata", "broken"):              {"testdata/broken cannot be built", "undefined: undefined"},
		foreign("darwin", "GOOS=darwin", "GOARCH=arm64"):       {"darwin/arm64", "GOOS=linux"},
		foreign("other-cpu", "GOOS=linux", "GOARCH=riscv64"):   {"EM_RISCV", "build it with"},
		foreign("windows.exe", "GOOS=windows", "GOARCH=amd64"): {"windows.exe", "neither ELF nor Mach-O"},
	} {
		before := len(listed(t))
		asked(t, "run", path).expect(t, exitFailed, want...)
		if after := len(listed(t)); after != before {
			t.Errorf("%s: %d jobs became %d", path, before, after)
		}
	}
	asked(t, "run", "/bin/true").expect(t, exitFailed, "is no Perennial job", "stream.Main")
	asked(t, "run", filepath.Join(here, "testdata", "nojob")).expect(t, exitFailed, "is no Perennial job", "stream.Main")
}

// TestMistakesOfJobs: a job that is wrong fails with what is wrong, and leaves nothing behind.
func TestMistakesOfJobs(t *testing.T) {
	words, full := text(t, 10), t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "part-00000-1.csv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mistake := func(what string) []string { return []string{binaries.mistakes, "--", "--what", what} }
	count := func(args ...string) []string { return append([]string{binaries.wordcount, "--"}, args...) }
	out := filepath.Join(t.TempDir(), "out")
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"two operators of one name": {mistake("twins"), []string{`operator "upper"`, "has this name"}},
		"no sink":                   {mistake("no sink"), []string{"has no sink", "stream.To"}},
		"no input":                  {mistake("no input"), []string{`operator "upper"`, "has no input"}},
		"no operators":              {mistake("?"), []string{"has no operators"}},
		"no codec":                  {mistake("no codec"), []string{`operator "out"`, "field Reply", "chan int"}},
		"a panic":                   {mistake("panic"), []string{`operator "boom"`, "subtask ", "panic: the sky is falling", "testdata/mistakes/main.go"}},
		"an exit":                   {mistake("exit"), []string{"exited with status 3", "leaving for a reason"}},
		"another graph each time":   {mistake("another"), []string{"the same graph in every process"}},
		"a panic of the build":      {mistake("build"), []string{"panic: no job today"}},
		"missing arguments":         {count(), []string{"missing arguments: input, output", "--input VALUE"}},
		"unknown argument":          {count("--input", words, "--output", out, "--frob", "1"), []string{"unknown flag --frob"}},
		"malformed argument":        {count("--input", words, "--output", out, "--rate", "fast"), []string{`--rate "fast"`, "a number"}},
		"missing input":             {count("--input", words+"s", "--output", out), []string{`input "` + words + `s"`, "there is no"}},
		"input without files":       {count("--input", t.TempDir(), "--output", out), []string{"no file to read"}},
		"output that exists":        {count("--input", words, "--output", full), []string{"already holds part-00000-1.csv", "choose another directory"}},
		"output that is a file":     {count("--input", words, "--output", words), []string{words, "not a directory"}},
		"parallelism":               {append([]string{"-p", "1000"}, count("--input", words, "--output", out)...), []string{"parallelism 1000", "expected 1 to "}},
	} {
		t.Run(name, func(t *testing.T) {
			asked(t, append([]string{"run"}, test.args...)...).expect(t, exitFailed, append(test.want, "failed: ")...)
		})
	}
	if _, err := os.Stat(out); err == nil {
		t.Errorf("%s was made", out)
	}
	left, err := filepath.Glob(filepath.Join(workDir(), "processes", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("task processes are left: %q %v", left, err)
	}
	asked(t, "run", binaries.mistakes, "--", "--what", "none").expect(t, 0, "finished in")
}

// TestArgumentsTooLarge: what coordination could not hold is refused before it is sent there.
func TestArgumentsTooLarge(t *testing.T) {
	before := len(listed(t))
	args := []string{"run", binaries.mistakes, "--"}
	for range 20 {
		args = append(args, "--what="+strings.Repeat("x", 100_000))
	}
	asked(t, args...).expect(t, exitFailed, "131072 bytes", "pass a file's name instead of its content")
	asked(t, args[:4]...).expect(t, exitFailed, "65536", "pass a file's name instead of its content")
	if after := len(listed(t)); after != before {
		t.Errorf("%d jobs became %d", before, after)
	}
}

// TestForeground: without a terminal, plain lines on standard error and nothing on standard output.
func TestForeground(t *testing.T) {
	out := filepath.Join(t.TempDir(), "counts")
	r := asked(t, "run", "-p", "2", binaries.wordcount, "--", "--input", text(t, 300), "--output", out, "--rate", "400")
	r.expect(t, 0, ": perennial cancel ", "wordcount is RUNNING; lines splits: ", "wordcount is FINISHED; ", "lines -> words: 2 finished, 300 in, 900 out, ", " finished in ")
	if r.stdout != "" || strings.Contains(r.stderr, "\x1b") {
		t.Errorf("standard output %q, standard error %q", r.stdout, r.stderr)
	}
	parts, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(parts) == 0 {
		t.Errorf("output: %q %v", parts, err)
	}
}

// TestInterruptedRun: the job goes on.
func TestInterruptedRun(t *testing.T) {
	b := inBackground(t, t.TempDir(), "run", "-D", "rest.port="+restPort(t), binaries.mistakes, "--", "--what", "never ends")
	b.says(t, "mistakes is RUNNING")
	if status, took := b.interrupt(t); status != exitFailed || took > 3*time.Second {
		t.Errorf("status %d after %v", status, took)
	}
	b.says(t, "interrupted; the job goes on: perennial info ")
	log, err := os.ReadFile(b.log)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Fields(string(log))[1] // job <id>: …
	asked(t, "cancel", strings.TrimSuffix(id, ":")).expect(t, 0)
}

// TestMoreSlotsThanThereAre: the job waits, says for how many, and starts when they come.
func TestMoreSlotsThanThereAre(t *testing.T) {
	r := asked(t, "run", "-d", "-p", "4", binaries.mistakes, "--", "--what", "none")
	r.expect(t, 0, "waits for 2 of 4 slots", "start TaskManagers")
	id := strings.TrimSpace(r.stdout)
	if info := asked(t, "info", id); !strings.Contains(info.stdout, "is CREATED, waits for 2 of 4 slots") {
		t.Errorf("info: %s", info.stdout)
	}
	b := inBackground(t, t.TempDir(), "taskmanager", "-D", "taskmanager.slots=2", "-D", "jobmanager.rpc.port="+rpcPort(t), "-D", "storage.dir="+sharedStorage())
	if j := ended(t, id); j.State != job.Finished {
		t.Errorf("with the slots it is %s: %s", j.State, j.Failure)
	}
	if status, _ := b.interrupt(t); status != 0 {
		t.Errorf("the second TaskManager ended with status %d", status)
	}
	for _, line := range []string{"the job waits for slots", "a TaskManager has left"} {
		eventually(t, func() error { return holds(shared.JobManagers[0].Log, line) })
	}
}

// TestTaskProcessKilled: the job goes on in the next attempt, and the TaskManager lives.
func TestTaskProcessKilled(t *testing.T) {
	r := asked(t, "run", "-d", binaries.mistakes, "--", "--what", "never ends")
	r.expect(t, 0)
	id := strings.TrimSpace(r.stdout)
	var pid int
	eventually(t, func() error {
		for _, v := range info(t, id).Vertices {
			for _, s := range v.Subtasks {
				pid = max(pid, s.PID)
			}
		}
		if pid == 0 {
			return fmt.Errorf("no process of job %s is known", id)
		}
		return nil
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if j := info(t, id); j.State != job.Running || j.Restarts != 1 {
			return fmt.Errorf("the job is %s after %d restarts: %s", j.State, j.Restarts, j.Failure)
		}
		return nil
	})
	asked(t, "cancel", id).expect(t, 0)
	checkpoints := asked(t, "checkpoints", id)
	checkpoints.expect(t, 0)
	if !strings.HasPrefix(checkpoints.stdout, "ID") {
		t.Errorf("the list of checkpoints is %q", checkpoints.stdout)
	}
	if !shared.TaskManagers[0].Running() {
		t.Error("the TaskManager has ended too")
	}
	asked(t, "run", binaries.mistakes, "--", "--what", "none").expect(t, 0)
}
