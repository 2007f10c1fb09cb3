package s3_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/perennial-io/perennial/internal/storage/s3"
	"github.com/perennial-io/perennial/internal/tests3"
)

// careless is a server that does what it is told, unless it is told not to.
func careless(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"x"`) }))
	t.Cleanup(s.Close)
	return s.URL
}

func closed(t *testing.T) string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.URL
}

func TestPrepareSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := tests3.Start(t)
	static := credentials.NewStaticV4
	for what, c := range map[string]struct {
		config s3.Config
		says   []string
	}{
		"no bucket":       {s3.Config{Bucket: "another"}, []string{"there is no bucket another", "make it"}},
		"unknown key":     {s3.Config{Credentials: static("nobody", tests3.SecretKey, "")}, []string{"refuses the credentials", "AWS_ACCESS_KEY_ID"}},
		"wrong secret":    {s3.Config{Credentials: static(tests3.AccessKey, "hunter2hunter2", "")}, []string{"refuses the credentials", "AWS_ACCESS_KEY_ID"}},
		"no credentials":  {s3.Config{Credentials: static("", "", "")}, []string{"there are no credentials", "AWS_ACCESS_KEY_ID", "~/.aws/credentials"}},
		"nobody there":    {s3.Config{Endpoint: closed(t)}, []string{"connection refused", "storage.s3.endpoint"}},
		"not conditional": {s3.Config{Endpoint: careless(t)}, []string{"overwrites", "If-None-Match"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			err := at(t, server, c.config).Prepare(t.Context())
			if err == nil {
				t.Fatal("nothing is wrong")
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
	for range 2 { // of each process
		s := at(t, server, s3.Config{Prefix: "a/prefix"})
		if err := s.Prepare(t.Context()); err != nil {
			t.Error(err)
		}
		if names, err := s.List(t.Context(), ""); err != nil || len(names) > 0 {
			t.Errorf("%q, %v", names, err)
		}
	}
}

func TestAtRefusesWhatCannotBe(t *testing.T) {
	for what, c := range map[string]s3.Config{
		"no bucket":        {},
		"bucket":           {Bucket: "a/b"},
		"prefix":           {Bucket: "bucket", Prefix: "a/../b"},
		"slash":            {Bucket: "bucket", Prefix: "a/"},
		"no scheme":        {Bucket: "bucket", Endpoint: "host:9000"},
		"scheme":           {Bucket: "bucket", Endpoint: "ftp://host"},
		"path in endpoint": {Bucket: "bucket", Endpoint: "http://host/bucket"},
		"credentials":      {Bucket: "bucket", Endpoint: "http://key:hunter2@host"},
		"a slash in it":    {Bucket: "bucket", Endpoint: "http://key:hunter2/xx@host"},
	} {
		if _, err := s3.At(c); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
