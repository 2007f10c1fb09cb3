package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/internal/job"
)

// TestLifeOfAJobWithState: a job is checkpointed, saved, rescaled, upgraded, stopped and continued by what a person
// types, and counts each word once.
func TestLifeOfAJobWithState(t *testing.T) {
	const lines = 40_000
	out, saved := filepath.Join(t.TempDir(), "out"), t.TempDir()
	args := []string{"--", "--input", text(t, lines), "--output", out, "--rate"}
	r := asked(t, append([]string{"run", "-d", "-p", "1", binaries.wordcount}, append(args, "4000")...)...)
	r.expect(t, 0)
	id := strings.TrimSpace(r.stdout)

	asked(t, "checkpoint", id).prints(t, "checkpoint 1 is completed")
	var outcome client.Request
	decoded(t, &outcome, "checkpoint", "--json", id)
	if outcome.Kind != job.TakeCheckpoint || outcome.State != "DONE" || outcome.Checkpoint == 0 || outcome.Ended == nil {
		t.Errorf("checkpoint --json: %+v", outcome)
	}
	first := asked(t, "savepoint", id, saved).prints(t, filepath.Join(saved, "wordcount-"+id[24:]+"-"))
	inspects(t, first)

	asked(t, "rescale", id, "-p", "3").expect(t, exitFailed, "nothing was changed", "needs 3 slots, and 1 of them are missing", "start TaskManagers")
	asked(t, "rescale", id, "-p", "257").expect(t, exitFailed, "nothing was changed", "257", "256")
	asked(t, "rescale", id, "-p", "2").prints(t, "stood still for ")
	asked(t, "run", "--upgrade", id, binaries.mistakes, "--", "--what", "none").expect(t, exitFailed, "nothing was changed", "no operator of the running job matches")
	upgraded := asked(t, "run", "-d", "--upgrade", id, another(t, binaries.wordcount))
	upgraded.prints(t, id)
	upgraded.expect(t, 0, "stood still for ")
	for _, says := range []string{"rescale to 2, asked ", ": done, stood still for ", "upgrade, asked ", ": failed: ", "savepoint, asked ", "parallelism"} {
		if info := asked(t, "info", id); !strings.Contains(strings.ToLower(info.stdout), says) {
			t.Errorf("info does not mention %q:\n%s", says, info.stdout)
		}
	}

	second := asked(t, "stop", id, "--savepoint-dir", saved).prints(t, saved)
	if j := info(t, id); j.State != job.Finished || j.Restarts != 0 || j.Attempt != 3 {
		t.Errorf("the stopped job is %s after %d attempts and %d restarts: %s", j.State, j.Attempt, j.Restarts, j.Failure)
	}
	asked(t, "stop", id).expect(t, exitFailed, "FINISHED", "running job")
	end := asked(t, append([]string{"run", "-p", "1", "--from-savepoint", second, binaries.wordcount}, append(args, "0")...)...)
	end.expect(t, 0, "finished in")
	for _, word := range []string{"one", "two", "three"} {
		if n := counted(t, out, word); n != lines {
			t.Errorf("%q was counted %d times, want %d", word, n, lines)
		}
	}
	dropping(t, second)
}

// dropping continues with a job that takes none of the savepoint's state: once that is allowed, it is told.
func dropping(t *testing.T, savepoint string) {
	t.Helper()
	other := []string{"--from-savepoint", savepoint, binaries.mistakes, "--", "--what", "none"}
	asked(t, append([]string{"run"}, other...)...).expect(t, exitFailed, "no operator of savepoint "+savepoint+" matches", "--allow-dropped-state")
	says := []string{`of operator "count" is dropped`, `of operator "words" begins empty`}
	asked(t, append([]string{"run", "--allow-dropped-state"}, other...)...).expect(t, 0, says...)
	detached := asked(t, append([]string{"run", "-d", "--allow-dropped-state"}, other...)...)
	detached.expect(t, 0, says...)
	for _, s := range says {
		if text := asked(t, "info", strings.TrimSpace(detached.stdout)).stdout; !strings.Contains(text, s) {
			t.Errorf("info does not mention that state %s:\n%s", s, text)
		}
	}
}

// another makes a binary that does the same as this one.
func another(t *testing.T, binary string) string {
	t.Helper()
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "another")
	if err := os.WriteFile(path, append(b, '\n'), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRequestThatWaits: a job that waits for slots cannot be saved yet, which is said.
func TestRequestThatWaits(t *testing.T) {
	r := asked(t, "run", "-d", "-p", "3", binaries.mistakes, "--", "--what", "never ends")
	r.expect(t, 0)
	id := strings.TrimSpace(r.stdout)
	b := inBackground(t, t.TempDir(), "savepoint", "-D", "rest.port="+restPort(t), id)
	b.says(t, "waits for 1 of 3 slots")
	b.says(t, "the savepoint waits or is under way (asked)")
	asked(t, "cancel", id).expect(t, 0)
	b.says(t, "the job is CANCELED")
}

// prints requires success and a beginning of standard output's last line, which it returns.
func (r result) prints(t *testing.T, part string) string {
	t.Helper()
	r.expect(t, 0)
	printed := strings.Split(strings.TrimSpace(r.stdout), "\n")
	last := printed[len(printed)-1]
	if !strings.Contains(last, part) {
		t.Errorf("standard output is %q, want %q in it", r.stdout, part)
	}
	return last
}

// inspects looks at a savepoint of a word count.
func inspects(t *testing.T, path string) {
	t.Helper()
	r := typed(t, "savepoint", "inspect", path)
	r.expect(t, 0)
	for _, says := range []string{"of job wordcount (", "256 key groups", "OPERATOR", "count", "accumulators", "value", "0-255", "struct{", "lines"} {
		if !strings.Contains(r.stdout, says) {
			t.Errorf("inspect does not mention %q:\n%s", says, r.stdout)
		}
	}
	var inv map[string]any
	if err := json.Unmarshal([]byte(typed(t, "savepoint", "inspect", "--json", path).stdout), &inv); err != nil {
		t.Fatal(err)
	}
	has(t, "inspect --json", inv, map[string]string{
		"job": "string", "name": "string", "checkpoint": "float64", "taken": "string", "size": "float64", "keyGroups": "float64", "operators": "[]interface {}",
	})
}

// counted is how often a word was counted, in all files of a directory.
func counted(t *testing.T, dir, word string) int {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, p := range parts {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range strings.Fields(string(b)) {
			if w, n, _ := strings.Cut(row, ","); w == word {
				count, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				sum += count
			}
		}
	}
	return sum
}

// TestNoSavepoint: what cannot be continued from is told, with what it is.
func TestNoSavepoint(t *testing.T) {
	out, none := filepath.Join(t.TempDir(), "out"), t.TempDir()
	args := []string{binaries.wordcount, "--", "--input", text(t, 1), "--output", out}
	asked(t, append([]string{"run", "--from-savepoint", none + "/nowhere"}, args...)...).expect(t, exitFailed, none+"/nowhere is no savepoint", "there is nothing")
	if err := os.WriteFile(filepath.Join(none, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	asked(t, append([]string{"run", "--from-savepoint", none}, args...)...).expect(t, exitFailed, none+" is no savepoint", "name the directory")
	typed(t, "savepoint", "inspect", none).expect(t, exitFailed, none+" is no savepoint")
	asked(t, "savepoint", "nosuch").expect(t, exitFailed, "nosuch")
}
