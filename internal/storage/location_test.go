package storage

import "testing"

func TestCompleteLocations(t *testing.T) {
	cluster := S3{Endpoint: "http://host:9000", Region: "here", PathStyle: "true"}
	const query = "?endpoint=http%3A%2F%2Fhost%3A9000&path-style=true&region=here"
	for location, want := range map[string]string{
		"/a/path":                             "/a/path",
		"file:///a/path":                      "file:///a/path",
		"s3://bucket/x":                       "s3://bucket/x" + query,
		"s3://bucket":                         "s3://bucket" + query,
		"s3://bucket/x?region=":               "s3://bucket/x?endpoint=http%3A%2F%2Fhost%3A9000&path-style=true&region=",
		"s3://bucket/x?endpoint=http://other": "s3://bucket/x?endpoint=http://other", // of another server nothing is known
		"s3://bucket/%zz":                     "s3://bucket/%zz",
	} {
		if got := cluster.Complete(location); got != want {
			t.Errorf("Complete(%q) is %q, want %q", location, got, want)
		}
	}
	s, err := Attach(cluster.Complete("s3://bucket/x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Beside("s3://other/savepoints"); got != "s3://other/savepoints"+query {
		t.Errorf("beside it: %q", got)
	}
	if got := s.Beside("/a/path"); got != "/a/path" {
		t.Errorf("beside it: %q", got)
	}
	if s.Dir() != "s3://bucket/x" || s.Location() != "s3://bucket/x"+query {
		t.Errorf("%q at %q", s.Dir(), s.Location())
	}
	if got := open(t).Beside("s3://bucket/x"); got != "s3://bucket/x" {
		t.Errorf("beside a directory: %q", got)
	}
}
