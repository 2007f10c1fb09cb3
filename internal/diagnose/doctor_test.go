package diagnose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/inspect"
)

func TestClockFinding(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		clock time.Duration // from now
		asked time.Duration // for how long
		ok    bool
	}{
		"the same":                   {0, 0, true},
		"a little off":               {time.Second, 0, true},
		"ahead":                      {3 * time.Second, 0, false},
		"behind":                     {-3 * time.Second, time.Second, false},
		"as far as the answer tells": {4 * time.Second, 3 * time.Second, true},
	} {
		if f := clockFinding("x", now.Add(test.clock), now, now.Add(test.asked)); f.OK != test.ok || f.OK == (f.Advice != "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestReachFindings(t *testing.T) {
	p := inspect.Probe{Read: []string{"doctor-1"}, Dial: []string{"a:1", "b:1"}}
	for name, test := range map[string]struct {
		problems []inspect.Problem
		want     []string // a check and a text each
	}{
		"well":         {nil, []string{"reach connects to 2"}},
		"a port":       {[]inspect.Problem{{About: "a:1", Text: "refused"}}, []string{"reach cannot connect to a:1: refused"}},
		"other places": {[]inspect.Problem{{About: "doctor-1", Text: "it is not there"}}, []string{"storage it is not there"}},
		"both": {[]inspect.Problem{{About: "b:1", Text: "refused"}, {About: "doctor-1", Text: "it is not there"}},
			[]string{"reach cannot connect to b:1", "storage doctor-1"}},
	} {
		got := reachFindings("x", p, &inspect.Probed{Problems: test.problems})
		if len(got) != len(test.want) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for i, f := range got {
			check, text, _ := strings.Cut(test.want[i], " ")
			if f.Check != check || !strings.Contains(f.Text, text) || f.OK != (test.problems == nil) {
				t.Errorf("%s: %+v, want %s", name, f, test.want[i])
			}
		}
	}
}

func TestNameFinding(t *testing.T) {
	for name, test := range map[string]struct {
		host      string
		addresses []string
		err       error
		open, ok  bool
	}{
		"an address elsewhere":      {"a", []string{"10.0.0.1"}, nil, true, true},
		"none":                      {"a", nil, errors.New("no such host"), false, false},
		"itself, of several hosts":  {"a", []string{"127.0.1.1"}, nil, true, false},
		"itself, all on one host":   {"a", []string{"127.0.1.1"}, nil, false, true},
		"localhost on purpose":      {"localhost", []string{"127.0.0.1"}, nil, true, true},
		"a loopback address itself": {"127.0.0.1", []string{"127.0.0.1"}, nil, true, true},
	} {
		if f := nameFinding(test.host, test.addresses, test.err, test.open); f.OK != test.ok {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestListenerOf(t *testing.T) {
	const line = "   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0"
	for text, want := range map[string]string{line: "4711", strings.Replace(line, " 0A ", " 01 ", 1): "", strings.Replace(line, "1F91", "1F92", 1): "", "": "", "  sl  local_address": ""} {
		if inode, ok := listenerOf(text, 8081); inode != want || ok != (want != "") {
			t.Errorf("%q: %q %v", text, inode, ok)
		}
	}
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, ok := range map[string]bool{dir: true, filepath.Join(dir, "to", "be", "made"): true, file: false, filepath.Join(file, "x"): false, "/proc": false} {
		if err := writable(path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v %v", left, err)
	}
}

// TestStorageHangs: that is told, and the other checks go on.
func TestStorageHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := config.Load("", nil, []string{"storage.dir=/mnt/away"})
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		defer close(release)
		h := Host{Config: c, Storage: func(context.Context) (inspect.Tokens, error) {
			<-release
			return nil, errors.New("too late")
		}}
		f := h.storage(t.Context())
		if len(f) != 1 || f[0].OK || f[0].About != "/mnt/away" || f[0].Text != "no answer within 10s" {
			t.Errorf("%+v", f)
		}
	})
}

// TestStorageWithCredentials: what they are is not told.
func TestStorageWithCredentials(t *testing.T) {
	c, err := config.Load("", nil, []string{"storage.dir=s3://key:secret@bucket/p"})
	if err != nil {
		t.Fatal(err)
	}
	h := Host{Config: c, Storage: func(context.Context) (inspect.Tokens, error) { return nil, errors.New("refused") }}
	if f := h.storage(t.Context()); len(f) != 1 || f[0].OK || strings.Contains(fmt.Sprint(f), "secret") {
		t.Errorf("%+v", f)
	}
}
