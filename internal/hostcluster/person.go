// Package hostcluster is a cluster on hosts of their own (internal/testhosts), which a person starts, asks and stops by
// typing the commands of bin/, for tests and benchmarks. It never leaves out the scripts: what it knows of a cluster is what
// they and the program print. It starts no goroutine, and waits for nothing but the end of what is typed.
package hostcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/perennial-io/perennial/internal/testhosts"
)

// Person is who types.
type Person struct {
	Home string          // of the distribution
	Dir  string          // of this person's files; also where they stand
	UID  int             // also the group
	Path string          // PATH, if it is not this process's
	Env  []string        // beside this process's, of which nothing that is Perennial's or Java's is handed on
	On   *testhosts.Host // nil: this machine
}

// Result is what a command printed, and its exit status.
type Result struct {
	Stdout, Stderr string
	Status         int
}

// Types runs a program of bin/ until it ends, or ctx does. It fails only if there was no such end.
func (p *Person) Types(ctx context.Context, program string, args ...string) (Result, error) {
	cmd := p.Command(ctx, filepath.Join(p.Home, "bin", program), args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil && (cmd.ProcessState == nil || !cmd.ProcessState.Exited()) {
		return Result{}, fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return Result{out.String(), complaint.String(), cmd.ProcessState.ExitCode()}, nil
}

// Does is Types for what must succeed; it returns what was printed.
func (p *Person) Does(ctx context.Context, program string, args ...string) (string, error) {
	r, err := p.Types(ctx, program, args...)
	if err == nil && r.Status != 0 {
		err = fmt.Errorf("%s %s: exit status %d: %s%s", program, strings.Join(args, " "), r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout, err
}

// Ask has the program print a thing as JSON: a job, JobManagers, TaskManagers.
func Ask[T any](ctx context.Context, p *Person, args ...string) (thing T, err error) {
	said, err := p.Does(ctx, "perennial", append(args, "--json")...)
	if err == nil {
		err = json.Unmarshal([]byte(said), &thing)
	}
	return thing, err
}

// Command is any program, as this person runs it.
func (p *Person) Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	if p.On != nil {
		cmd = p.On.Command(ctx, path, args...)
	}
	cmd.Dir = p.Dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PERENNIAL_") || strings.HasPrefix(e, "JAVA_HOME=") || p.Path != "" && strings.HasPrefix(e, "PATH=")
	})
	cmd.Env = append(cmd.Env, p.Env...)
	if p.Path != "" {
		cmd.Env = append(cmd.Env, "PATH="+p.Path)
	}
	if p.UID != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.UID)}}
	}
	return cmd
}

// Configure gives the person a configuration directory with these files.
func (p *Person) Configure(files map[string]string) error {
	conf := filepath.Join(p.Dir, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	p.Env = append(p.Env, "PERENNIAL_CONF_DIR="+conf)
	return nil
}
