package testclock

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const program = `package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	began := time.Now()
	go func() { // timers read the clock on the runtime's stack
		for range time.NewTicker(time.Millisecond).C {
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		now := time.Now()
		fmt.Println(now.UnixNano(), int64(now.Sub(began)))
	}
}
`

// The wall clock jumps, and back; durations do not.
func TestClockJumps(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Build(t.Context(), dir, filepath.Join(dir, "program"), filepath.Join(dir, "main.go")); err != nil {
		t.Fatal(err)
	}
	clock, err := New(filepath.Join(dir, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "program"))
	cmd.Env = append(os.Environ(), clock.Env())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(out)
	ask := func() (wrong, since time.Duration) {
		t.Helper()
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		var wall int64
		if _, err := fmt.Fscanln(answers, &wall, &since); err != nil {
			t.Fatal(err)
		}
		return time.Until(time.Unix(0, wall)), since
	}
	for _, jump := range []time.Duration{0, time.Hour, -time.Hour - time.Nanosecond, 0} {
		if err := clock.Set(jump); err != nil {
			t.Fatal(err)
		}
		wrong, since := ask()
		if (wrong - jump).Abs() > time.Minute {
			t.Errorf("set by %v the clock is wrong by %v", jump, wrong)
		}
		if since < 0 || since > 10*time.Minute {
			t.Errorf("set by %v, %v have gone by", jump, since)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
