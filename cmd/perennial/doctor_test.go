package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/internal/diagnose"
)

// TestDoctorWell: every line of a cluster that is well is OK, and nothing is left in the storage.
func TestDoctorWell(t *testing.T) {
	r := asked(t, "doctor", "--running", "--json", "-D", "storage.dir="+sharedStorage(), "-D", "jobmanager.rpc.port="+rpcPort(t))
	r.expect(t, 0)
	var findings []diagnose.Finding
	if err := json.Unmarshal([]byte(r.stdout), &findings); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	seen := map[string]bool{}
	for _, f := range findings {
		seen[f.Check] = true
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"configuration", "file", "name", "directory", "storage", "port", "quorum", "jobmanager", "taskmanager", "clock", "version", "reach"} {
		if !seen[check] {
			t.Errorf("nothing is said about %s", check)
		}
	}
	if left, err := filepath.Glob(filepath.Join(sharedStorage(), "tokens", "*")); err != nil || len(left) > 0 {
		t.Errorf("tokens are left: %v %v", left, err)
	}
}

// TestDoctorBeforeAStart: that nobody runs is right then, and wrong if it is to run.
func TestDoctorBeforeAStart(t *testing.T) {
	t.Parallel()
	args := []string{"doctor", "-D", "rest.port=" + nobody(t), "-D", "jobmanager.rpc.port=" + nobody(t)}
	typed(t, args...).expect(t, 0)
	r := typed(t, append(args, "--running")...)
	r.expect(t, exitFailed, "1 of these are wrong")
	if !strings.Contains(r.stdout, "WRONG") || !strings.Contains(r.stdout, "start the cluster") {
		t.Error(r.stdout)
	}
}

// TestDoctorHost: what is wrong on this host is said before anything is started.
func TestDoctorHost(t *testing.T) {
	t.Parallel()
	conf := t.TempDir()
	for name, text := range map[string]string{"workers": "a b\n", "perennial.yaml": "jobmanager.rpc.address: nosuch.invalid\n"} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	port := taken(t)
	r := typed(t, "doctor", "--conf", conf, "-D", "rest.port="+port, "-D", "jobmanager.rpc.port="+nobody(t), "-D", "zookeeper.quorum=127.0.0.1:1",
		"-D", "storage.dir="+filepath.Join(conf, "workers"), "-D", "taskmanager.dir="+filepath.Join(conf, "workers"))
	r.expect(t, exitFailed, "of these are wrong")
	for _, want := range []string{"workers:1", "nosuch.invalid", "does not resolve", "is taken by process", "0 of 1 servers accept connections", "is no directory", "docs/storage.md"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in:\n%s", want, r.stdout)
		}
	}
	r = typed(t, "doctor", "-D", "rest.port="+nobody(t), "-D", "zookeeper.quorum=127.0.0.1:"+port+",[::1],127.0.0.2/above")
	for _, want := range []string{"127.0.0.1:" + port + " ", "[::1]:2181 ", "127.0.0.2:2181 "} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("of a quorum with default ports and a chroot, %q is not in:\n%s", want, r.stdout)
		}
	}
	if strings.Contains(r.stdout, "does not resolve") {
		t.Error(r.stdout)
	}
	r = typed(t, "doctor", "-D", "log.level=loud")
	r.expect(t, exitFailed)
	if !strings.Contains(r.stdout, "expected one of debug") {
		t.Error(r.stdout)
	}
}

// TestDoctorPlaces: it looks where the scripts start processes, and not where it is typed.
func TestDoctorPlaces(t *testing.T) {
	t.Parallel()
	stands, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	doctor := func(environ ...string) result {
		cmd := command(limited(t), stands, "doctor", "-D", "rest.port="+nobody(t), "-D", "jobmanager.rpc.port="+nobody(t))
		cmd.Env = append(cmd.Env, environ...)
		return finish(t, cmd)
	}
	r := doctor("PERENNIAL_DATA_DIR="+data, "PERENNIAL_LOG_DIR=log/here")
	r.expect(t, 0)
	for _, want := range []string{filepath.Join(stands, "log/here"), filepath.Join(data, "run"), filepath.Join(data, "data")} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in:\n%s", want, r.stdout)
		}
	}
	if left, err := os.ReadDir(stands); err != nil || len(left) > 0 {
		t.Errorf("left where it was typed: %v %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(stands, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r = doctor("PERENNIAL_DATA_DIR=file/data")
	r.expect(t, exitFailed, "1 of these are wrong")
	if !strings.Contains(r.stdout, "set PERENNIAL_DATA_DIR to a directory that can be written") {
		t.Error(r.stdout)
	}
}

// TestDoctorStorageApart: a TaskManager whose directory is a copy of the shared one registers, as it says that it belongs to
// the cluster; that it is another directory only a token shows.
func TestDoctorStorageApart(t *testing.T) {
	t.Parallel()
	dir, rpc, rest := t.TempDir(), nobody(t), nobody(t)
	common := []string{"-D", "rest.port=" + rest, "-D", "jobmanager.rpc.port=" + rpc}
	storage := func(name string) []string { return []string{"-D", "storage.dir=" + filepath.Join(dir, name)} }
	jm := inBackground(t, t.TempDir(), append(append([]string{"jobmanager"}, common...), storage("one")...)...)
	jm.says(t, "took over")
	if text, err := exec.Command("cp", "-r", filepath.Join(dir, "one"), filepath.Join(dir, "other")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	tm := inBackground(t, t.TempDir(), append(append([]string{"taskmanager"}, common...), storage("other")...)...)
	tm.says(t, "following a leader")
	r := typed(t, append(append([]string{"doctor", "--running"}, common...), storage("one")...)...)
	r.expect(t, exitFailed, "of these are wrong")
	for _, want := range []string{"it is not there", "make storage.dir the same directory on all hosts", "it does not see what another process has written"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in:\n%s", want, r.stdout)
		}
	}
	tm.interrupt(t)
	jm.interrupt(t)
}
