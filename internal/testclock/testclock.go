// Package testclock makes programs whose wall clock a test moves while they run: the program is built with a time
// package in which Now adds what a file says. Its monotonic clock goes on as it is, as that of a machine does whose
// clock is set. Neither a time namespace (which has no wall clock) nor a preloaded library (a static program loads none)
// can do that to a Go program, and the machine's own clock is not a test's to set.
//
// The standard library is compiled once more for it. The package has no goroutine.
package testclock

import (
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed shift.go.txt
var shift []byte

// variable names a process's clock to it.
const variable = "TESTCLOCK_FILE"

// Build compiles a package to a program whose clock can be moved; dir is for its own files, and outlives the call.
func Build(ctx context.Context, dir, output, pkg string) error {
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	overlay, err := write(dir, filepath.Join(strings.TrimSpace(string(goroot)), "src", "time"))
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", output, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s with a clock that can be moved: %w\n%s", pkg, err, out)
	}
	return nil
}

// write makes the two files of the time package that are another's, and the list of them.
func write(dir, src string) (overlay string, err error) {
	const reads, shifted = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {", "sec, nsec, mono := shiftedNow()\n\tif mono == 0 {"
	original, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		return "", err
	}
	if strings.Count(string(original), reads) != 1 {
		return "", errors.New("this Go's time.Now is not the one that testclock knows: change it there")
	}
	replaced := map[string]string{}
	for name, text := range map[string]string{"time.go": strings.Replace(string(original), reads, shifted, 1), "shift.go": string(shift)} {
		path := filepath.Join(dir, name)
		replaced[filepath.Join(src, name)] = path
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o644)
}

// Clock is that of a process, or of several: the file that it is in.
type Clock string

// New makes a clock that is right.
func New(path string) (Clock, error) {
	return Clock(path), os.WriteFile(path, make([]byte, 8), 0o644)
}

// Env is what a process is started with.
func (c Clock) Env() string { return variable + "=" + string(c) }

// Set has the clock be wrong by so much, from now on.
func (c Clock) Set(wrong time.Duration) error {
	f, err := os.OpenFile(string(c), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(binary.NativeEndian.AppendUint64(nil, uint64(wrong)))
	return errors.Join(err, f.Close())
}
