package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// What a started process of these tests does is in this variable: it is this binary again.
const behaviour = "DAEMON_TEST"

func TestMain(m *testing.M) {
	if does := os.Getenv(behaviour); does != "" {
		behave(does)
		return
	}
	goleak.VerifyTestMain(m)
}

func behave(does string) {
	Adopt()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	fmt.Println("it", does)
	switch does {
	case "fails":
		os.Exit(3)
	case "leaves a child":
		child := exec.Command(os.Args[0])
		child.Env = []string{behaviour + "=is left"}
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Println("child", child.Process.Pid)
	case "is not ready":
		<-asked
		return
	case "is deaf":
		signal.Ignore(syscall.SIGTERM)
	case "is left":
		select {} // until it is killed
	}
	Ready()
	if does == "is deaf" {
		select {}
	}
	<-asked
}

func here(t *testing.T) Place {
	t.Helper()
	dir := t.TempDir()
	p, err := Here(filepath.Join(dir, "run"), filepath.Join(dir, "log"), filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// started starts a process that does something, and has it gone at the test's end.
func started(t *testing.T, p Place, number int, does string) *Starting {
	t.Helper()
	s, err := p.Start(Request{Role: "role", Number: number, Group: "group", Command: func(int) (Command, error) {
		return Command{Label: "label", Args: []string{os.Args[0]}, Env: append(os.Environ(), behaviour+"="+does)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Kill()
		_, _ = process.Wait() // it is a child of this process, which a command's is not for long
	})
	return s
}

func ready(t *testing.T, s *Starting) {
	t.Helper()
	if ok, err := s.Wait(limited(t, 20*time.Second)); !ok || err != nil {
		t.Fatalf("%s: ready %v, %v", s.Instance, ok, err)
	}
}

func limited(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestInstances(t *testing.T) {
	p := here(t)
	first, second := started(t, p, 0, "works"), started(t, p, 0, "works")
	ready(t, first)
	ready(t, second)
	if first.Number != 1 || second.Number != 2 {
		t.Errorf("numbers %d and %d", first.Number, second.Number)
	}
	if _, err := p.Start(Request{Role: "role", Number: 2}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("role 2 (label) runs already, as process %d", second.PID)) {
		t.Errorf("the second once more: %v", err)
	}
	if killed, err := p.Stop(limited(t, 20*time.Second), first.Instance); killed || err != nil {
		t.Errorf("stop: killed %v, %v", killed, err)
	}
	all, err := p.List("role")
	if err != nil || len(all) != 1 || all[0].PID != second.PID || !all[0].Alive || all[0].Label != "label" || all[0].Group != "group" {
		t.Errorf("after the first was stopped: %+v %v", all, err)
	}
	if third := started(t, p, 0, "works"); third.Number != 1 || third.Stale != 0 {
		t.Errorf("the free number is 1, and not %d (stale %d)", third.Number, third.Stale)
	}
	if others, err := p.List("rol"); len(others) > 0 || err != nil {
		t.Errorf("of another role: %+v %v", others, err)
	}
}

func TestWhatEndsAtOnceIsShown(t *testing.T) {
	p := here(t)
	_, err := started(t, p, 0, "fails").Wait(limited(t, 20*time.Second))
	if err == nil || !strings.Contains(err.Error(), "it fails") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
	if all, err := p.List("role"); len(all) > 0 || err != nil {
		t.Errorf("its pid file is left: %+v %v", all, err)
	}
}

func TestNotReady(t *testing.T) {
	s := started(t, here(t), 0, "is not ready")
	if ok, err := s.Wait(limited(t, 100*time.Millisecond)); ok || err != nil {
		t.Errorf("ready %v, %v", ok, err)
	}
}

// TestStale: the number in a pid file may be anybody's now; it is the lock that counts, and if somebody else holds that,
// when the process began.
func TestStale(t *testing.T) {
	p := here(t)
	s := started(t, p, 0, "works")
	ready(t, s)
	foreign := exec.Command(os.Args[0])
	foreign.Env = []string{behaviour + "=is left"}
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = foreign.Process.Kill(); _ = foreign.Wait() })
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, p, s.Instance)
	text := fmt.Sprintf("%d\nlabel\n", foreign.Process.Pid)
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := p.List("role")
	if err != nil || len(all) != 1 || all[0].Alive || all[0].PID != foreign.Process.Pid {
		t.Fatalf("%+v %v", all, err)
	}
	held, err := os.Open(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" { // elsewhere nothing tells when a process began
		all, err = p.List("role")
		if err != nil || all[0].Alive {
			t.Errorf("locked by somebody else: %+v %v", all, err)
		}
		all[0].Alive = true
		if killed, err := p.Stop(limited(t, 20*time.Second), all[0]); killed || err != nil {
			t.Errorf("locked by somebody else, stop: killed %v, %v", killed, err)
		}
		alive(t, foreign.Process.Pid)
	}
	held.Close()
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Stop(limited(t, 20*time.Second), all[0]); killed || err != nil {
		t.Errorf("stop: killed %v, %v", killed, err)
	}
	alive(t, foreign.Process.Pid)
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := started(t, p, 0, "works"); again.Number != 1 || again.Stale != foreign.Process.Pid {
		t.Errorf("started again it is %+v", again.Instance)
	}
	alive(t, foreign.Process.Pid)
}

func alive(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("process %d, which is not ours, was ended: %v", pid, err)
	}
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil && strings.Contains(string(state), ") Z ") {
		t.Errorf("process %d, which is not ours, was ended", pid)
	}
}

// gone waits until the lock of an instance's pid file is free.
func gone(t *testing.T, p Place, i Instance) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if a, err := p.alive(i); err != nil {
			t.Fatal(err)
		} else if !a {
			return
		}
		<-tick.C
	}
}

func TestDeafProcessIsKilled(t *testing.T) {
	p := here(t)
	s := started(t, p, 0, "is deaf")
	ready(t, s)
	if killed, err := p.Stop(limited(t, 50*time.Millisecond), s.Instance); !killed || err != nil {
		t.Errorf("killed %v, %v", killed, err)
	}
}

// TestChildrenDoNotKeepTheLock: a task process may live longer than its TaskManager.
func TestChildrenDoNotKeepTheLock(t *testing.T) {
	p := here(t)
	s := started(t, p, 0, "leaves a child")
	ready(t, s)
	text, err := os.ReadFile(s.Log)
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscanf(string(text), "it leaves a child\nchild %d\n", &child); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
	if killed, err := p.Stop(limited(t, 20*time.Second), s.Instance); killed || err != nil {
		t.Errorf("killed %v, %v", killed, err)
	}
	alive(t, child)
	if all, err := p.List("role"); len(all) > 0 || err != nil {
		t.Errorf("%+v %v", all, err)
	}
}

// TestOthersCannotLock: what another user can open he can lock, and make a dead process look alive.
func TestOthersCannotLock(t *testing.T) {
	p := here(t)
	if err := os.MkdirAll(p.PIDs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.instance("role", 1).file, nil, 0o644); err != nil { // as an older version left it
		t.Fatal(err)
	}
	ready(t, started(t, p, 0, "works"))
	files, err := os.ReadDir(p.PIDs)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
}

// TestLockedForLong: nobody waits for ever for whoever locks the directory.
func TestLockedForLong(t *testing.T) {
	p := here(t)
	ready(t, started(t, p, 0, "works"))
	unlock, err := p.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	p.patience = time.Millisecond
	if _, err := p.List("role"); err == nil || !strings.Contains(err.Error(), "has been locked by another process for 1ms") || !strings.Contains(err.Error(), p.PIDs) {
		t.Error(err)
	}
}

// TestInterrupted: whoever interrupts a stop has nothing killed, and whoever interrupts a start is told so.
func TestInterrupted(t *testing.T) {
	p := here(t)
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(limited(t, 20*time.Second))
	cancel(interrupted)
	s := started(t, p, 0, "is not ready")
	if ok, err := s.Wait(ctx); ok || !errors.Is(err, interrupted) {
		t.Errorf("start: ready %v, %v", ok, err)
	}
	s = started(t, p, 0, "is deaf")
	ready(t, s)
	if killed, err := p.Stop(ctx, s.Instance); killed || !errors.Is(err, interrupted) {
		t.Errorf("stop: killed %v, %v", killed, err)
	}
	alive(t, s.PID)
}

// TestEnough: of two that start at once what is there already, neither starts it.
func TestEnough(t *testing.T) {
	p := here(t)
	s := started(t, p, 0, "works")
	ready(t, s)
	_, err := p.Start(Request{Role: "role", Enough: func(all []Instance) (Instance, bool) { return all[0], all[0].Alive }})
	var running RunningError
	if !errors.As(err, &running) || running.PID != s.PID {
		t.Error(err)
	}
}

// TestTemporaryDirectory: a TMPDIR that is away, or too long for a socket's name, is done without.
func TestTemporaryDirectory(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	p := here(t)
	for _, dir := range []string{"/nonexistent", long} {
		t.Setenv("TMPDIR", dir)
		ready(t, started(t, p, 0, "works"))
	}
	if left, err := os.ReadDir(long); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v %v", left, err)
	}
}

// TestWhatCannotStartRotatesNothing: the log of what ran stays where it is.
func TestWhatCannotStartRotatesNothing(t *testing.T) {
	p := here(t)
	s := started(t, p, 0, "works")
	ready(t, s)
	if _, err := p.Stop(limited(t, 20*time.Second), s.Instance); err != nil {
		t.Fatal(err)
	}
	_, err := p.Start(Request{Role: "role", Command: func(int) (Command, error) { return Command{Args: []string{"no-such-program"}}, nil }})
	if text, _ := os.ReadFile(s.Log); err == nil || string(text) != "it works\n" {
		t.Errorf("%v; the log is %q", err, text)
	}
}

// TestWhatEndsAtOnceRotatesNothing: however often a start fails, and whether the program cannot be run or ends by itself, the logs
// of what ran are all there, and no pid file is left. The log of the last such start is beside them.
func TestWhatEndsAtOnceRotatesNothing(t *testing.T) {
	p := here(t)
	for range logsKept + 1 {
		s := started(t, p, 0, "works")
		ready(t, s)
		if _, err := p.Stop(limited(t, 20*time.Second), s.Instance); err != nil {
			t.Fatal(err)
		}
	}
	noProgram := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(noProgram, []byte("\x7fELF, and no more\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	log := p.instance("role", 1).Log
	for range logsKept + 2 {
		if _, err := p.Start(Request{Role: "role", Command: func(int) (Command, error) { return Command{Args: []string{noProgram}}, nil }}); err == nil {
			t.Fatal("it was started")
		}
		_, err := started(t, p, 0, "fails").Wait(limited(t, 20*time.Second))
		if err == nil || !strings.Contains(err.Error(), "its log, "+failed(log)+", ends:\nit fails") {
			t.Errorf("%v", err)
		}
	}
	files, err := os.ReadDir(p.Logs)
	if err != nil || len(files) != logsKept+2 {
		t.Fatalf("%v %v", files, err)
	}
	for n := range logsKept + 1 {
		if text, err := os.ReadFile(numbered(log, n)); err != nil || string(text) != "it works\n" {
			t.Errorf("log %d is %q: %v", n, text, err)
		}
	}
	if all, err := p.List("role"); len(all) > 0 || err != nil {
		t.Errorf("a pid file is left: %+v %v", all, err)
	}
}

func TestLogsAreRotated(t *testing.T) {
	p := here(t)
	for range logsKept + 3 {
		s := started(t, p, 0, "works")
		ready(t, s)
		if _, err := p.Stop(limited(t, 20*time.Second), s.Instance); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := os.ReadDir(p.Logs)
	if err != nil || len(logs) != logsKept+1 {
		t.Fatalf("%d logs, want %d: %v", len(logs), logsKept+1, err)
	}
	if want := fmt.Sprintf("perennial-%s-role-1-%s.log", p.User, p.Host); logs[0].Name() != want {
		t.Errorf("a log is %s, want %s", logs[0].Name(), want)
	}
}

func TestDirectoriesThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for variable, change := range map[string]func(*Place){
		"PERENNIAL_PID_DIR":  func(p *Place) { p.PIDs = file },
		"PERENNIAL_LOG_DIR":  func(p *Place) { p.Logs = filepath.Join(file, "x") },
		"PERENNIAL_DATA_DIR": func(p *Place) { p.Dir = filepath.Join(file, "x") },
	} {
		p := here(t)
		change(&p)
		if _, err := p.Start(Request{Role: "role"}); err == nil || !strings.Contains(err.Error(), "set "+variable) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

func TestCommandThatCannotBe(t *testing.T) {
	p := here(t)
	no := errors.New("no")
	if _, err := p.Start(Request{Role: "role", Command: func(int) (Command, error) { return Command{}, no }}); !errors.Is(err, no) {
		t.Error(err)
	}
	_, err := p.Start(Request{Role: "role", Command: func(int) (Command, error) { return Command{Args: []string{"/nonexistent"}}, nil }})
	if err == nil || !strings.Contains(err.Error(), "start role 1") || !strings.Contains(err.Error(), "/nonexistent") {
		t.Error(err)
	}
	if all, err := p.List("role"); len(all) > 0 || err != nil {
		t.Errorf("a pid file is left: %+v %v", all, err)
	}
}

// TestForeignLink: what another user has put where a pid file is to be is not followed.
func TestForeignLink(t *testing.T) {
	p := here(t)
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, p.instance("role", 1).file); err != nil {
		t.Fatal(err)
	}
	_, err := p.Start(Request{Role: "role", Command: func(int) (Command, error) {
		return Command{Args: []string{"true"}, Ready: func() bool { return true }}, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "PERENNIAL_PID_DIR") {
		t.Errorf("start: %v", err)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "text" {
		t.Errorf("the file says %q: %v", text, err)
	}
}
