package failpoint

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain is also the process that comes to a point three times.
func TestMain(m *testing.M) {
	if os.Getenv(Variable) != "" {
		for range 3 {
			LeaderReserved.Reached()
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// walk has a process come to LeaderReserved three times, and tells how it ended.
func walk(t *testing.T, dir string) syscall.WaitStatus {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), Variable+"="+dir)
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func TestKilledOnceAtTheNthTime(t *testing.T) {
	for _, test := range []struct {
		point Point
		nth   int
		dies  bool
	}{{LeaderReserved, 1, true}, {LeaderReserved, 3, true}, {LeaderReserved, 4, false}, {LeaderReserves, 1, false}} {
		dir := t.TempDir()
		if err := Arm(dir, test.point, Kill, test.nth); err != nil {
			t.Fatal(err)
		}
		if s := walk(t, dir); s.Signaled() != test.dies {
			t.Errorf("armed at %v, the %d. time: %v", test.point, test.nth, s)
		}
		if s := walk(t, dir); s.Signaled() {
			t.Errorf("armed at %v, the %d. time: killed twice", test.point, test.nth)
		}
		if hit, err := Disarm(dir, test.point); hit != test.dies || err != nil {
			t.Errorf("Disarm(%v): %v, %v", test.point, hit, err)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		name := p.String()
		if name == "" || seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("point %d is called %q", p, name)
		}
		seen[name] = true
	}
}

// BenchmarkOff is what a point costs where it is off: below a nanosecond.
func BenchmarkOff(b *testing.B) {
	for b.Loop() {
		TaskAligned.Reached()
	}
}
