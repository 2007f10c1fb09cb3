// Package tests3 runs an S3 server for tests: versitygw, on a directory of the test's, at a free port of
// loopback. `make versitygw` installs it; a test that needs it is skipped where it is not.
//
// A server is a process of its own, which can be frozen and killed. It ends with the test, also when the
// test's process dies. The package is for tests, and starts no goroutine that outlives Start's test.
package tests3

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The server's credentials, made up, and its region.
const (
	AccessKey = "tests3"
	SecretKey = "not-a-secret"
	Region    = "us-east-1"
)

// Bucket is the name of the bucket that a server has.
const Bucket = "bucket"

// version is that of the Makefile.
const version = "v1.8.0"

// patience bounds the start of a server; it is only reached by one that fails.
const patience = time.Minute

// Server is a running server. Its methods fail the test that started it.
type Server struct {
	t       testing.TB
	address string
	dir     string
	pid     int
	end     func()
}

// Setenv sets the credentials where programs look for them. A TestMain calls it, for all tests and the
// processes that they start.
func Setenv() {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_SESSION_TOKEN": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
}

// Start starts a server with a bucket, and returns when it serves.
func Start(t testing.TB) *Server {
	t.Helper()
	binary, err := find()
	if err != nil {
		t.Skip(err)
	}
	s := &Server{t: t, address: address(t), dir: t.TempDir()}
	for _, dir := range []string{"objects", "meta"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.start(binary)
	t.Cleanup(func() { s.end() })
	s.makeBucket()
	return s
}

// find looks for the server in .tools at the root of the repository.
func find() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; !exists(filepath.Join(dir, "go.mod")); dir = filepath.Dir(dir) {
		if dir == filepath.Dir(dir) {
			return "", errors.New("the tests do not run in the repository")
		}
	}
	binary := filepath.Join(dir, ".tools", "versitygw-"+version)
	if !exists(binary) {
		return "", fmt.Errorf("there is no S3 server at %s: make versitygw installs it", binary)
	}
	return binary, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// address is a free one on loopback, on a host that other tests hardly choose and no outgoing
// connection is bound to, so that it stays free until it is used.
func address(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 64+os.Getpid()>>16&63, os.Getpid()>>8&255, os.Getpid()&255))
	if err != nil { // not every system has all of 127.0.0.0/8
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// keeper starts the server, says its pid, and kills it when its own standard input ends: that is when
// the test's process ends, at the latest.
const keeper = `"$@" >&2 & echo $!; read -r _; kill -9 $!; wait`

func (s *Server) start(binary string) {
	cmd := exec.Command("sh", "-c", keeper, "sh", binary, "--port", s.address, "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--quiet",
		"posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "objects"))
	said := &strings.Builder{}
	cmd.Stderr = said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.end = func() {
		stdin.Close()
		_ = cmd.Wait() // it was killed
		if s.t.Failed() {
			s.t.Log("the S3 server said: ", said)
		}
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err == nil {
		s.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		s.end()
		s.t.Fatal("the S3 server did not start: ", err)
	}
}

// makeBucket makes the bucket as soon as the server serves.
func (s *Server) makeBucket() {
	s.t.Helper()
	c, err := minio.New(s.address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: Region, MaxRetries: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.MakeBucket(ctx, Bucket, minio.MakeBucketOptions{})
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("the S3 server does not serve after %v: %v", patience, err)
		}
	}
}

// Endpoint is where the server is: http://host:port.
func (s *Server) Endpoint() string { return "http://" + s.address }

// Path is the file that an object of the bucket lies in.
func (s *Server) Path(object string) string {
	return filepath.Join(s.dir, "objects", Bucket, filepath.FromSlash(object))
}

// Freeze stops the server, and returns when it has stopped: its connections stay open and answer nothing.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !s.stopped() {
		<-tick.C
	}
}

// stopped tells whether all threads of the server have stopped, where there is a /proc to tell.
func (s *Server) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.pid))
	for _, file := range threads {
		stat, failed := os.ReadFile(file)
		_, state, _ := strings.Cut(string(stat), ") ")
		if failed == nil && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return err == nil
}

// Thaw lets a frozen server run on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.pid, sig); err != nil {
		s.t.Fatalf("signal the S3 server: %v", err)
	}
}
