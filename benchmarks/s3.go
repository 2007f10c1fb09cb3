package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// The server's credentials, made up, and its bucket.
const (
	s3Access = "benchmarks"
	s3Secret = "not-a-secret"
	s3Region = "us-east-1"
	s3Bucket = "bucket"
)

// keeper starts a server, and kills it when its own standard input ends: with this process, at the latest.
const keeper = `"$@" & read -r _; kill -9 $!; wait`

// withS3 runs do beside an S3 server with a bucket, on a directory below dir, and says how it is found. Those
// who are started meanwhile inherit the credentials.
func withS3(ctx context.Context, dir string, do func(settings map[string]string) error) error {
	servers, _ := filepath.Glob(".tools/versitygw-*")
	if len(servers) == 0 {
		return errors.New("there is no S3 server in .tools: make versitygw installs it")
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	objects, meta := filepath.Join(dir, "objects"), filepath.Join(dir, "meta")
	if err := errors.Join(os.Mkdir(objects, 0o700), os.Mkdir(meta, 0o700)); err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", keeper, "sh", servers[len(servers)-1], "--port", address, "--access", s3Access, "--secret", s3Secret,
		"--region", s3Region, "--quiet", "posix", "--sidecar", meta, objects)
	hold, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		hold.Close()
		_ = cmd.Wait() // it was killed
	}()
	if err := makeBucket(ctx, address); err != nil {
		return err
	}
	defer setenv("AWS_ACCESS_KEY_ID", s3Access)()
	defer setenv("AWS_SECRET_ACCESS_KEY", s3Secret)()
	defer setenv("AWS_SESSION_TOKEN", "")()
	return do(map[string]string{"storage.dir": "s3://" + s3Bucket + "/cluster", "storage.s3.endpoint": "http://" + address, "storage.s3.region": s3Region})
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// makeBucket makes the bucket as soon as the server serves.
func makeBucket(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("the S3 server does not serve"))
	defer cancel()
	c, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(s3Access, s3Secret, ""), Region: s3Region, MaxRetries: 1})
	if err != nil {
		return err
	}
	var last error
	err = pollEach(ctx, 20*time.Millisecond, func() (bool, error) {
		last = c.MakeBucket(ctx, s3Bucket, minio.MakeBucketOptions{})
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return nil
}

// setenv sets a variable, and returns what sets it back.
func setenv(name, value string) (back func()) {
	was, set := os.LookupEnv(name)
	_ = os.Setenv(name, value) // the names are right
	return func() {
		if set {
			_ = os.Setenv(name, was)
		} else {
			_ = os.Unsetenv(name)
		}
	}
}
