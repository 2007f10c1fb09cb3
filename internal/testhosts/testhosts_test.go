package testhosts

import (
	"context"
	"strings"
	"testing"
)

// Hosts reach one another by name and by ssh, and not when they are cut off.
func TestHosts(t *testing.T) {
	h := Start(t, 2)
	a, b := h.List[0], h.List[1]
	reach := func(options ...string) (string, error) {
		args := append(strings.Fields(h.SSHOptions()), options...)
		out, err := a.Command(t.Context(), "ssh", append(args, "-o", "BatchMode=yes", b.Name, "hostname")...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if name, err := reach("-o", "ConnectTimeout=20"); err != nil || name != b.Name {
		t.Errorf("ssh from %s to %s: %q, %v", a.Name, b.Name, name, err)
	}
	try(t, b.CutOff())
	if name, err := reach("-o", "ConnectTimeout=1"); err == nil {
		t.Errorf("%s answers %q although it is cut off", b.Name, name)
	}
	try(t, b.Join())
	if name, err := reach("-o", "ConnectTimeout=20"); err != nil || name != b.Name {
		t.Errorf("ssh when it is back: %q, %v", name, err)
	}
	sleeper := b.Command(t.Context(), "sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	try(t, b.Kill())
	if err := sleeper.Wait(); err == nil || len(b.Processes()) > 0 {
		t.Errorf("a process outlives its host: %v, %v", err, b.Processes())
	}
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Two sets of a process do not meet, and the end of one leaves the other alone.
func TestSeveralSets(t *testing.T) {
	first, second := Start(t, 2), Start(t, 2)
	serves := func(h *Hosts) bool {
		a, b := h.List[0], h.List[1]
		args := append(strings.Fields(h.SSHOptions()), "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", b.Name, "hostname")
		out, err := a.Command(t.Context(), "ssh", args...).CombinedOutput()
		return err == nil && strings.TrimSpace(string(out)) == b.Name
	}
	if !serves(first) || !serves(second) {
		t.Fatal("a set does not serve beside another one")
	}
	try(t, first.Close())
	if left := first.List[0].processes(); len(left) > 0 {
		t.Errorf("after Close there are %v", left)
	}
	if !serves(second) {
		t.Error("the end of one set touched the other")
	}
	if !serves(Start(t, 2)) {
		t.Error("a set does not serve after another one")
	}
}

// A set that cannot be made says so, and leaves nothing.
func TestNewFails(t *testing.T) {
	if h, err := New(t.Context(), t.TempDir(), Most+1); err == nil {
		t.Errorf("%d hosts were made: %v", Most+1, h.Close())
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if h, err := New(ended, t.TempDir(), 1); err == nil {
		t.Errorf("hosts were made after the context had ended: %v", h.Close())
	}
}

// What a host sends to another can be lost one way, or both, and each goes on reaching everybody else.
func TestLose(t *testing.T) {
	h := Start(t, 3)
	a, b, c := h.List[0], h.List[1], h.List[2]
	for _, step := range []struct {
		name string
		do   func() error
		met  bool
	}{
		{"before", func() error { return nil }, true},
		{"from the client", func() error { return a.Lose(b) }, false},
		{"found again", func() error { return a.Find(b) }, true},
		{"from the server", func() error { return b.Lose(a) }, false},
		{"that too", func() error { return b.Find(a) }, true},
		{"parted", func() error { return Part(a, b) }, false},
		{"met", func() error { return Meet(a, b) }, true},
	} {
		try(t, step.do())
		if got := a.reaches(t, b); got != step.met {
			t.Errorf("%s: %s reaches %s: %v", step.name, a.Name, b.Name, got)
		}
		if !a.reaches(t, c) || !c.reaches(t, b) {
			t.Errorf("%s: a third host is touched", step.name)
		}
	}
}

// reaches tells whether a connection to the other's sshd comes about.
func (one *Host) reaches(t *testing.T, other *Host) bool {
	return one.Command(t.Context(), "timeout", "1", "bash", "-c", "</dev/tcp/"+other.Address+"/22").Run() == nil
}
