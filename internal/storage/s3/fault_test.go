package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/perennial-io/perennial/internal/storage/objects"
	"github.com/perennial-io/perennial/internal/storage/s3"
	"github.com/perennial-io/perennial/internal/tests3"
)

// TestAServerThatDoesNotAnswer is a failure after a while, and no object is missing for that.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := stalled(t)
	for what, do := range operations(t.Context(), s) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			err := do()
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestTheCallersEndIsAtOnce: long before the patience with a server is over.
func TestTheCallersEndIsAtOnce(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s := proxied(t, tests3.Start(t), s3.Config{Patience: time.Hour}, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	results := make(chan error)
	todo := operations(ctx, s)
	for _, do := range todo {
		go func() { results <- do() }()
	}
	for range todo {
		<-arrived
	}
	gone := errors.New("gone")
	cancel(gone)
	for range todo {
		if err := <-results; !errors.Is(err, gone) {
			t.Error(err)
		}
	}
}

// TestAnAnswerThatNeverEnds: not even a server that is always about to answer is waited for.
func TestAnAnswerThatNeverEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { dribble(c) })
		}
	})
	defer l.Close()
	s := at(t, nil, s3.Config{Endpoint: "http://" + l.Addr().String(), Patience: 200 * time.Millisecond})
	if _, _, err := s.Open(t.Context(), "a"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := s.Create(t.Context(), "a", objects.Write(nil)); err == nil {
		t.Error("it was created")
	}
}

// dribble answers with a header that does not end before the connection does.
func dribble(c net.Conn) {
	defer c.Close()
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); err == nil; _, err = io.WriteString(c, "x") {
		<-pace.C
	}
}

// TestAnAnswerThatIsLost: a request is repeated, and its effect is one.
func TestAnAnswerThatIsLost(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	for what, c := range map[string]struct {
		size int
		hits func(*http.Request) bool
	}{
		"of a put":        {10, func(r *http.Request) bool { return r.Method == http.MethodPut }},
		"of a part":       {2 * smallest, func(r *http.Request) bool { return r.URL.Query().Has("partNumber") }},
		"of a completion": {2 * smallest, func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") }},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var lost once
			s := proxied(t, server, s3.Config{Prefix: prefix(t)}, func(_ http.ResponseWriter, r *http.Request, pass http.Handler) bool {
				if c.hits(r) && lost.first() {
					pass.ServeHTTP(nowhere{}, r)
					hangUp()
				}
				return false
			})
			content := bytes.Repeat([]byte("0123456789"), c.size/10)
			if created, err := s.Create(t.Context(), "a", objects.Write(content)); err != nil || !created {
				t.Errorf("%v, %v", created, err)
			}
			if b, err := objects.Read(t.Context(), s, "a", 1<<30); err != nil || !bytes.Equal(b, content) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if created, err := s.Create(t.Context(), "a", objects.Write([]byte("another's"))); err != nil || created {
				t.Errorf("another's: %v, %v", created, err)
			}
			if !lost.asked.Load() {
				t.Error("no answer was lost")
			}
		})
	}
}

// nowhere is the ResponseWriter of an answer that is lost.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

func TestAServerThatIsBusyIsAskedAgain(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	var requests atomic.Int64
	s := proxied(t, server, s3.Config{Prefix: prefix(t)}, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		busy := requests.Add(1)%2 == 1
		if busy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return busy
	})
	if created, err := s.Create(t.Context(), "a", objects.Write([]byte("x"))); err != nil || !created {
		t.Errorf("%v, %v", created, err)
	}
	if b, err := objects.Read(t.Context(), s, "a", 1); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestAFailingServerIsNoMissingObject: neither one that is down behind a gateway, nor a bucket that is gone.
func TestAFailingServerIsNoMissingObject(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	down := proxied(t, server, s3.Config{Prefix: prefix(t), Patience: 200 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	for what, s := range map[string]*s3.Store{"down": down, "no bucket": at(t, server, s3.Config{Bucket: "another"})} {
		if _, _, err := s.Open(t.Context(), "a"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := s.List(t.Context(), "a"); err == nil {
			t.Errorf("%s: a list came", what)
		}
	}
}

// cutting is a store whose downloads break off after some bytes, the first so many times.
func cutting(t *testing.T, after, times int64) *s3.Store {
	var cut atomic.Int64
	return proxied(t, tests3.Start(t), s3.Config{Prefix: prefix(t)}, func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool {
		if r.Method == http.MethodGet && cut.Add(1) <= times {
			pass.ServeHTTP(&short{ResponseWriter: w, left: after}, r)
			hangUp()
		}
		return false
	})
}

type short struct {
	http.ResponseWriter
	left int64
}

func (s *short) Write(b []byte) (int, error) {
	n, err := s.ResponseWriter.Write(b[:min(s.left, int64(len(b)))])
	if s.left -= int64(n); s.left == 0 {
		_ = http.NewResponseController(s.ResponseWriter).Flush()
		hangUp()
	}
	return n, err
}

// TestADownloadThatBreaksOffGoesOn where it was.
func TestADownloadThatBreaksOffGoesOn(t *testing.T) {
	t.Parallel()
	s := cutting(t, 300_000, 5)
	content := []byte(strings.Repeat("0123456", 500_000))
	if _, err := s.Create(t.Context(), "a", objects.Write(content)); err != nil {
		t.Fatal(err)
	}
	if b, err := objects.Read(t.Context(), s, "a", 1<<30); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes of %d, right: %v, %v", len(b), len(content), bytes.HasPrefix(content, b), err)
	}
}

// TestADownloadThatStallsGoesOn: over another connection, when its time is over.
func TestADownloadThatStallsGoesOn(t *testing.T) {
	t.Parallel()
	var stalls once
	s := proxied(t, tests3.Start(t), s3.Config{Patience: 200 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool {
		if r.Method == http.MethodGet && stalls.first() {
			defer func() { _ = recover(); <-r.Context().Done() }()
			pass.ServeHTTP(&short{ResponseWriter: w, left: 300_000}, r)
		}
		return false
	})
	content := bytes.Repeat([]byte("0123456"), 100_000)
	if _, err := s.Create(t.Context(), "a", objects.Write(content)); err != nil {
		t.Fatal(err)
	}
	if b, err := objects.Read(t.Context(), s, "a", 1<<30); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes of %d, %v", len(b), len(content), err)
	}
}

// TestADownloadThatIsCutOffIsNoEnd: what is missing is never taken for the end of an object.
func TestADownloadThatIsCutOffIsNoEnd(t *testing.T) {
	t.Parallel()
	s := cutting(t, 0, 1000)
	if _, err := s.Create(t.Context(), "a", objects.Write([]byte("12345"))); err != nil {
		t.Fatal(err)
	}
	if b, err := objects.Read(t.Context(), s, "a", 1<<30); err == nil {
		t.Errorf("%q", b)
	}
}

// TestWhatKilledWritersLeave goes with its directory, and nobody else leaves an upload behind.
func TestWhatKilledWritersLeave(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	s := at(t, server, s3.Config{Prefix: "p"})
	client, err := minio.New(strings.TrimPrefix(server.Endpoint(), "http://"), &minio.Options{Creds: credentials.NewStaticV4(tests3.AccessKey, tests3.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	uploads := func() (keys []string) {
		for u := range client.ListIncompleteUploads(t.Context(), tests3.Bucket, "", true) {
			if u.Err != nil {
				t.Fatal(u.Err)
			}
			keys = append(keys, u.Key)
		}
		return keys
	}
	core := minio.Core{Client: client}
	for _, key := range []string{"p/d/a", "p/d/b/c", "p/e/a"} {
		if _, err := core.NewMultipartUpload(t.Context(), tests3.Bucket, key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteAll(t.Context(), "d"); err != nil {
		t.Error(err)
	}
	if left := uploads(); len(left) != 1 || left[0] != "p/e/a" {
		t.Errorf("left: %q", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Create(ctx, "called/off", func(w io.Writer) error {
		_, err := w.Write(make([]byte, 2*smallest+1))
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left := uploads(); len(left) != 1 {
		t.Errorf("left by a writer that was called off: %q", left)
	}
}
