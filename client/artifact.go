package client

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// uploadTime bounds one try of an upload.
const uploadTime = 5 * time.Minute

// Upload stores a job binary, unless the cluster has it already, and returns its hash for
// Spec.Artifact.
func (c *Client) Upload(ctx context.Context, path string) (string, error) {
	sum, err := hashFile(path)
	if err != nil {
		return "", err
	}
	head := request{method: http.MethodHead, path: "/v1/artifacts/" + sum, open: nothing, timeout: perTry}
	err = c.retry(ctx, head, nil)
	var refused *Error
	if err == nil || !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		return sum, err
	}
	put := request{method: http.MethodPut, path: head.path, timeout: uploadTime, open: func() (io.ReadCloser, int64, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, 0, err
		}
		return f, info.Size(), nil
	}}
	return sum, c.retry(ctx, put, nil)
}

func nothing() (io.ReadCloser, int64, error) { return http.NoBody, 0, nil }

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Build returns the path of the job binary that job names: a binary as it is, or a directory
// with a Go package main, which is built for the cluster's operating system and CPU into dir.
func Build(ctx context.Context, jobPath, dir string, cluster Cluster) (string, error) {
	info, err := os.Stat(jobPath)
	if err != nil {
		return "", fmt.Errorf("job %s: expected a directory with a Go package, or a binary: %w", jobPath, err)
	}
	if !info.IsDir() {
		return jobPath, CheckBinary(jobPath, cluster)
	}
	out := filepath.Join(dir, filepath.Base(absolute(jobPath)))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	build.Dir = jobPath
	build.Env = append([]string{"CGO_ENABLED=0"}, os.Environ()...) // whoever sets it otherwise wants it so
	if cluster.OS != "" {
		build.Env = append(build.Env, "GOOS="+cluster.OS, "GOARCH="+cluster.Arch)
	}
	text, err := build.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("go build in %s: %w", jobPath, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("job %s is a directory, and there is no go command here to build it: install Go, or give the binary: %w", jobPath, err)
	case err != nil:
		return "", fmt.Errorf("job %s cannot be built (go build: %w):\n%s", jobPath, err, strings.TrimSpace(string(text)))
	}
	if info, err := os.Stat(out); err != nil || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("job %s: its package is not main, so it builds no binary", jobPath)
	}
	return out, nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// CheckBinary tells whether path can run on the cluster at all: a file of the right format,
// operating system and CPU. A cluster without TaskManagers takes everything.
func CheckBinary(path string, cluster Cluster) error {
	system, arch, err := platform(path)
	if err != nil {
		return err
	}
	if cluster.OS != "" && (system != cluster.OS || arch != cluster.Arch) {
		return fmt.Errorf("job %s is built for %s/%s and the cluster's TaskManagers are %s/%s: build it with GOOS=%s GOARCH=%s, or give its package's directory",
			path, system, arch, cluster.OS, cluster.Arch, cluster.OS, cluster.Arch)
	}
	return nil
}

func platform(path string) (system, arch string, err error) {
	readable, err := os.Open(path)
	if err != nil {
		return "", "", fmt.Errorf("job %s cannot be read: %w", path, err)
	}
	readable.Close()
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		known := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}
		return "linux", cmp.Or(known[f.Machine], f.Machine.String()), nil
	}
	if f, err := macho.Open(path); err == nil {
		defer f.Close()
		known := map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}
		return "darwin", cmp.Or(known[f.Cpu], f.Cpu.String()), nil
	}
	return "", "", fmt.Errorf("job %s is no binary that can be run (neither ELF nor Mach-O): give a directory with a Go package, or what go build makes of it", path)
}
