package testensemble

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServersCanBeKilledFrozenAndRestarted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := Start(t, 3)
	led, err := e.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pid := led.Pid()
	if err := led.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d after Kill: %v, want no such process", pid, err)
	}
	next, err := e.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if next == led {
		t.Error("the killed server still leads")
	}
	if err := led.Start(); err != nil {
		t.Fatal(err)
	}
	if err := e.WaitServing(ctx); err != nil {
		t.Fatal(err)
	}
	frozenServerIsSilent(ctx, t, next)
}

func frozenServerIsSilent(ctx context.Context, t *testing.T, s *Server) {
	t.Helper()
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if mode, err := s.Mode(brief); err == nil {
		t.Errorf("a frozen server answered %q", mode)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLeavesNoProcess(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := ZooKeeper(ctx, t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	pid := e.Servers[0].Pid()
	e.Close()
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d after Close: %v, want no such process", pid, err)
	}
}

func TestMissingInstallationSaysWhatToInstall(t *testing.T) {
	t.Setenv("ZOOKEEPER_HOME", t.TempDir())
	_, err := ZooKeeper(t.Context(), t.TempDir(), 1)
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "ZOOKEEPER_HOME") {
		t.Errorf("got %v, want ErrNotInstalled that names ZOOKEEPER_HOME", err)
	}
}
