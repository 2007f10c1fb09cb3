package s3_test

import (
	"context"
	"github.com/perennial-io/perennial/internal/storage/objects"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/storage/s3"
	"github.com/perennial-io/perennial/internal/tests3"
)

// at is the store that c describes, on the server unless it says otherwise.
func at(t *testing.T, server *tests3.Server, c s3.Config) *s3.Store {
	t.Helper()
	if c.Bucket == "" {
		c.Bucket = tests3.Bucket
	}
	if c.Endpoint == "" {
		c.Endpoint = server.Endpoint()
	}
	if c.PartSize == 0 {
		c.PartSize = smallest
	}
	s, err := s3.At(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// prefix is one of the test's own.
func prefix(t *testing.T) string {
	return "of/" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, t.Name())
}

// proxied is the store that c describes, on the server behind a proxy. fault may answer a request, and reports
// whether it has; else pass does.
func proxied(t *testing.T, server *tests3.Server, c s3.Config, fault func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool) *s3.Store {
	t.Helper()
	target, err := url.Parse(server.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, // which is signed
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fault(w, r, pass) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	c.Endpoint = proxy.URL
	return at(t, server, c)
}

// hangUp ends the connection without a word.
func hangUp() { panic(http.ErrAbortHandler) }

// once is whether it is asked for the first time.
type once struct{ asked atomic.Bool }

func (o *once) first() bool { return !o.asked.Swap(true) }

// stalled is a store on a server that is frozen, and so impatient that a test does not get old.
func stalled(t *testing.T) *s3.Store {
	t.Helper()
	server := tests3.Start(t)
	s := at(t, server, s3.Config{Prefix: prefix(t), Patience: 200 * time.Millisecond})
	if created, err := s.Create(t.Context(), "a", objects.Write([]byte("x"))); err != nil || !created {
		t.Fatal(created, err)
	}
	server.Freeze()
	t.Cleanup(server.Thaw)
	return s
}

// operations are all that can be done to a store.
func operations(ctx context.Context, s *s3.Store) map[string]func() error {
	return map[string]func() error{
		"create":          func() error { _, err := s.Create(ctx, "b", objects.Write([]byte("x"))); return err },
		"create in parts": func() error { _, err := s.Create(ctx, "c", objects.Write(make([]byte, smallest+1))); return err },
		"open":            func() error { _, _, err := s.Open(ctx, "a"); return err },
		"list":            func() error { _, err := s.List(ctx, ""); return err },
		"delete":          func() error { return s.Delete(ctx, "a") },
		"delete all":      func() error { return s.DeleteAll(ctx, "d") },
		"prepare":         func() error { return s.Prepare(ctx) },
	}
}
