package config

import (
	"slices"
	"strings"
	"testing"
)

func TestMasters(t *testing.T) {
	dir := write(t, "masters", "# the masters\nalpha\nalpha\nbeta:9000 # by port\n\n[::1]:7000\n::1\n[fe80::1%eth0]\nalpha:8083\nalpha\n")
	c, err := Load(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"alpha:8081", "alpha:8082", "beta:9000", "[::1]:7000", "[::1]:8081", "[fe80::1%eth0]:8081", "alpha:8083", "alpha:8084"}
	if got := c.List(JobManagers); !slices.Equal(got, want) {
		t.Errorf("masters = %q, want %q", got, want)
	}
}

func TestMistakesInMasters(t *testing.T) {
	for text, want := range map[string]string{
		"ok\na b\n":          `masters:2: "a b": expected host or host:rest-port`,
		"ok:9000\nok:9000\n": "masters:2: ok:9000 is listed in line 1 already",
		"ok\nok:8081\n":      "masters:2: ok:8081 is listed in line 1 already",
		":8081\n":            `masters:1: ":8081": expected host`,
		"a:high\n":           `masters:1: "a:high": expected`,
		"a:0\n":              `masters:1: "a:0": expected`,
		"a:70000\n":          `masters:1: "a:70000": expected`,
		"::1:x:2\n":          `masters:1: "::1:x:2": expected`,
		"-oProxyCommand=x\n": `masters:1: "-oProxyCommand=x": expected`,
		"http://a:8081\n":    `masters:1: "http://a:8081": expected`,
		"a,b\n":              `masters:1: "a,b": expected`,
		"me@a\n":             `masters:1: "me@a": expected`,
	} {
		if _, err := Load(write(t, "masters", text), nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestWorkers(t *testing.T) {
	got, err := ReadWorkers(write(t, "workers", "a # first\n\n#none\nb\na\n[::1]\n10.0.0.1\n"))
	if want := []string{"a", "b", "a", "::1", "10.0.0.1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("workers = %q, %v; want %q", got, err, want)
	}
	for text, want := range map[string]string{
		"a\nb:1\n": `workers:2: "b:1": expected a host`,
		"a b\n":    `workers:1: "a b": expected a host`,
		"$(x)\n":   `workers:1: "$(x)": expected a host`,
	} {
		if _, err := ReadWorkers(write(t, "workers", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if got, err := ReadWorkers(t.TempDir()); got != nil || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
}
