package hosts

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGroup(t *testing.T) {
	local := func(_ context.Context, name string) bool { return name == "me" || name == "localhost" }
	got := Group(t.Context(), []Entry{{"a", "1"}, {"me", "2"}, {"a", "3"}, {"localhost", "4"}, {"b", "5"}, {"me", "6"}}, local)
	want := []Host{{"a", false, []string{"1", "3"}}, {"me", true, []string{"2", "4", "6"}}, {"b", false, []string{"5"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestGroupBesideASilentName: that a name service does not answer for one name makes no stranger of this host.
func TestGroupBesideASilentName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := func(ctx context.Context, name string) bool {
			if name == "gone" {
				<-ctx.Done()
			}
			return name == "me" && ctx.Err() == nil
		}
		got := Group(t.Context(), []Entry{{"gone", "1"}, {"me", "2"}}, local)
		if want := []Host{{"gone", false, []string{"1"}}, {"me", true, []string{"2"}}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestIsLocal(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{own: true, "localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "203.0.113.7": false} {
		if got := IsLocal(t.Context(), name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "a b", "it's", `"$HOME" \ ; *`, "a\nb"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q: %v", s, out, err)
		}
	}
}

// withSSH puts an ssh into PATH.
func withSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestRemote(t *testing.T) {
	for name, test := range map[string]struct{ ssh, out, err string }{
		"it works":         {"echo did; sh -s", "did\nscripted", ""},
		"the command":      {"echo did; echo complains >&2; exit 1", "did", "complains"},
		"the connection":   {"echo No route to host >&2; exit 255", "", "ssh alpha: No route to host; it must work without a question"},
		"it says no words": {"exit 7", "", "exit status 7"},
	} {
		t.Run(name, func(t *testing.T) {
			withSSH(t, test.ssh)
			out, err := remote(t.Context(), "alpha", nil, "echo scripted")
			if strings.TrimSpace(out) != test.out || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// TestOptions: a person's options come before ours, of which ssh would take the first; but for the one that keeps it from asking.
func TestOptions(t *testing.T) {
	withSSH(t, `echo "$*"`)
	out, err := remote(t.Context(), "alpha", []string{"-o", "ConnectTimeout=60", "-o", "BatchMode=no"}, "")
	if want := "-o BatchMode=yes -o ConnectTimeout=60 -o BatchMode=no -o ConnectTimeout=10 -o ServerAliveInterval=5 -- alpha sh -s"; err != nil || out != want {
		t.Errorf("%q %v, want %q", out, err, want)
	}
}

// TestSilentHost: a host that says nothing is given up, and the others have gone on.
func TestSilentHost(t *testing.T) {
	withSSH(t, `for host; do :; done; case "$*" in *alpha*) exec sleep 1000;; esac; sh -s`)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	results := map[string]Result{}
	Each(ctx, []Host{{Name: "alpha"}, {Name: "beta"}, {Name: "here", Local: true}}, nil,
		func(context.Context, Host) (string, error) { return "local", nil },
		func(h Host) string { return "echo " + h.Name },
		func(r Result) {
			if results[r.Host] = r; len(results) == 2 {
				cancel(errors.New("enough"))
			}
		})
	if r := results["alpha"]; r.Err == nil || !strings.Contains(r.Err.Error(), "ssh alpha: no answer: enough") {
		t.Errorf("alpha: %+v", r)
	}
	if b, h := results["beta"], results["here"]; b.Output != "beta" || b.Err != nil || h.Output != "local" || h.Err != nil {
		t.Errorf("beta: %+v, here: %+v", b, h)
	}
}

func TestNoSSH(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := remote(t.Context(), "alpha", nil, ""); err == nil || !strings.Contains(err.Error(), "install an ssh client") {
		t.Error(err)
	}
}
