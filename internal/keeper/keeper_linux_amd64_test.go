package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A victim is this program once more, with so many MiB of memory, and a listener whose address it prints. It locks files if it has a
// directory for them.
const (
	victimEnv = "KEEPER_VICTIM_MIB"
	plainEnv  = "KEEPER_NONE"
	dirEnv    = "KEEPER_DIR"
)

func TestMain(m *testing.M) {
	mib, err := strconv.Atoi(os.Getenv(victimEnv))
	if err != nil {
		os.Exit(m.Run())
	}
	if os.Getenv(plainEnv) == "" {
		if _, err := Start(func() {}); err != nil {
			panic(err)
		}
	}
	memory := make([]byte, mib<<20)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	if dir := os.Getenv(dirEnv); dir != "" {
		defer lockFiles(dir)()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	c, err := l.Accept()
	if err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, c) // until whoever has connected goes, or this is killed
	fmt.Println(len(memory))
}

// lockFiles locks the files of a victim: one, and one that is mapped as well.
func lockFiles(dir string) (unlock func()) {
	plain, mapped := lock(dir, "plain"), lock(dir, "mapped")
	if plain == nil || mapped == nil {
		panic("a file of the test's own is locked")
	}
	if _, err := mapped.WriteString("text"); err != nil {
		panic(err)
	}
	if _, err := syscall.Mmap(int(mapped.Fd()), 0, 4, syscall.PROT_READ, syscall.MAP_SHARED); err != nil {
		panic(err)
	}
	return func() { plain.Close(); mapped.Close() }
}

// lock opens and locks a file; it is nil if another has locked it.
func lock(dir, name string) *os.File {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		panic(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil
	}
	return f
}

func free(dir, name string) bool {
	f := lock(dir, name)
	if f != nil {
		f.Close()
	}
	return f != nil
}

type victim struct {
	cmd  *exec.Cmd
	addr string
	conn net.Conn
}

func newVictim(t testing.TB, mib int, env ...string) *victim {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), fmt.Sprintf("%s=%d", victimEnv, mib)), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: cmd}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // errors say that it has ended
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the victim says nothing: %v", err)
	}
	v.addr = strings.TrimSpace(line)
	if v.conn, err = net.Dial("tcp", v.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.conn.Close() })
	return v
}

// keeper is the process whose parent the victim is, once it waits for its end.
func (v *victim) keeper(t testing.TB) int {
	t.Helper()
	all := children(t, v.cmd.Process.Pid)
	if len(all) != 1 {
		t.Fatalf("the victim has the children %v, want one", all)
	}
	await(t, "the keeper does not sleep", func() bool { return strings.HasPrefix(status(all[0], "State"), "S") })
	return all[0]
}

func await(t testing.TB, not string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(3 * time.Second); !so(); {
		if time.Now().After(limit) {
			t.Fatal(not)
		}
		runtime.Gosched()
	}
}

func children(t testing.TB, of int) (pids []int) {
	t.Helper()
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		t.Skip("this kernel does not list children (CONFIG_PROC_CHILDREN): ", err)
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// status is a line of /proc/PID/status; "" if the process is gone.
func status(pid int, name string) string { return line(fmt.Sprintf("/proc/%d/status", pid), name) }

func line(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

func gone(t testing.TB, pid int) {
	t.Helper()
	await(t, fmt.Sprintf("the keeper, process %d, outlives its parent", pid), func() bool {
		state := status(pid, "State")
		return state == "" || state[0] == 'Z'
	})
}

func resident(t testing.TB, pid int) (mib int) {
	t.Helper()
	kib, _, _ := strings.Cut(status(pid, "VmRSS"), " ")
	mib, _ = strconv.Atoi(kib)
	return mib >> 10
}

// kill has the victim end by SIGKILL, and waits until its connection breaks.
func (v *victim) kill(t testing.TB) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := v.conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatalf("the connection to a killed process: %v", err)
	}
}

// hold has a process stand still until release is called: only who traces it can, as its parent's death has it go on if it was stopped.
func hold(t *testing.T, pid int) (release func()) {
	t.Helper()
	runtime.LockOSThread() // a tracer is a thread
	t.Cleanup(runtime.UnlockOSThread)
	if err := syscall.PtraceAttach(pid); errors.Is(err, syscall.EPERM) {
		t.Skip("no process may be traced here")
	} else if err != nil {
		t.Fatal(err)
	}
	again(func() error { _, err := syscall.Wait4(pid, nil, syscall.WALL, nil); return err })
	release = sync.OnceFunc(func() {
		if err := syscall.PtraceDetach(pid); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

// What waits for a process's end has it while the memory is there: connections, ports, files and their locks. A mapped file is memory.
func TestAllButMemoryIsFreedAtOnce(t *testing.T) {
	const mib = 64
	dir := t.TempDir()
	v := newVictim(t, mib, dirEnv+"="+dir)
	keeper := v.keeper(t)
	if free(dir, "plain") || free(dir, "mapped") {
		t.Fatal("the victim has not locked its files")
	}
	release := hold(t, keeper)
	v.kill(t)
	await(t, "a lock is held", func() bool { return free(dir, "plain") })
	await(t, "the port is taken", func() bool {
		l, err := net.Listen("tcp", v.addr)
		if err == nil {
			l.Close()
		}
		return err == nil
	})
	if err := v.cmd.Wait(); err == nil {
		t.Error("a killed process ends without an error")
	}
	if has := resident(t, keeper); has < mib {
		t.Errorf("the process has ended, and the keeper has %d MiB of %d", has, mib)
	}
	if free(dir, "mapped") {
		t.Error("the lock on a mapped file does not last as long as the keeper: docs/decisions/0023 says so")
	}
	release()
	gone(t, keeper)
	await(t, "the lock on a mapped file is held", func() bool { return free(dir, "mapped") })
}

// Whoever stops a group of processes, and kills the first of them, leaves no keeper that holds the memory and the lock on a mapped file.
func TestStoppedKeeperEnds(t *testing.T) {
	dir := t.TempDir()
	v := newVictim(t, 1, dirEnv+"="+dir)
	keeper := v.keeper(t)
	for _, pid := range []int{keeper, v.cmd.Process.Pid} {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		await(t, "it does not stop", func() bool { return strings.HasPrefix(status(pid, "State"), "T") })
	}
	v.kill(t)
	gone(t, keeper)
	await(t, "the lock on a mapped file is held", func() bool { return free(dir, "mapped") })
}

// The keeper holds no file, and no signal to a group of processes ends it or runs a handler in it.
func TestKeeperHasTheMemoryAlone(t *testing.T) {
	v := newVictim(t, 1)
	keeper := v.keeper(t)
	if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", keeper)); err != nil || len(files) > 0 {
		t.Errorf("the keeper has %d files (%v)", len(files), err)
	}
	const waits = 1 << (syscall.SIGCONT - 1) // not blocked in a thread that waits for it
	if blocked, err := strconv.ParseUint(status(keeper, "SigBlk"), 16, 64); err != nil || blocked|waits|1<<(syscall.SIGKILL-1)|1<<(syscall.SIGSTOP-1) != ^uint64(0) {
		t.Errorf("the keeper blocks the signals %x (%v), want all", blocked, err)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", v.cmd.Process.Pid))
	if err != nil || len(threads) < 2 {
		t.Errorf("its parent has the threads %v (%v)", threads, err)
	}
	for _, thread := range threads {
		if blocked := line(thread, "SigBlk"); strings.Trim(blocked, "0") != "" {
			t.Errorf("a thread of its parent blocks the signals %s", blocked)
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGCONT} {
		if err := syscall.Kill(keeper, s); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the keeper does not take SIGCONT", func() bool {
		pending, err := strconv.ParseUint(status(keeper, "ShdPnd"), 16, 64)
		return err != nil || pending&waits == 0
	})
	if again := v.keeper(t); again != keeper {
		t.Errorf("after signals the keeper is process %d, and was %d", again, keeper)
	}
	v.conn.Close()
	if err := v.cmd.Wait(); err != nil {
		t.Errorf("the process ends with %v", err)
	}
	gone(t, keeper)
}

// Whoever kills the keeper alone takes nothing but its effect, and that is told.
func TestLost(t *testing.T) {
	lost := make(chan struct{})
	stop, err := Start(func() { close(lost) })
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range children(t, os.Getpid()) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	<-lost
	stop()
}

func TestStop(t *testing.T) {
	before := children(t, os.Getpid())
	for range 3 {
		stop, err := Start(func() { t.Error("it was lost") })
		if err != nil {
			t.Fatal(err)
		}
		if n := len(children(t, os.Getpid())); n != len(before)+1 {
			t.Errorf("%d children while there is a keeper, and %d before", n, len(before))
		}
		stop()
		stop() // once more does nothing
		if n := len(children(t, os.Getpid())); n != len(before) {
			t.Errorf("%d children after it was stopped, and %d before", n, len(before))
		}
	}
}

// BenchmarkKilled is how long it takes from SIGKILL until a connection breaks.
func BenchmarkKilled(b *testing.B) {
	for _, mib := range []int{16, 256, 1024} {
		for name, env := range map[string]string{"kept": "", "plain": plainEnv + "=1"} {
			b.Run(fmt.Sprintf("%dMiB/%s", mib, name), func(b *testing.B) {
				var took time.Duration
				for range b.N {
					v := newVictim(b, mib, env)
					began := time.Now()
					if err := v.cmd.Process.Kill(); err != nil {
						b.Fatal(err)
					}
					_, _ = v.conn.Read(make([]byte, 1)) // its error is the point
					took += time.Since(began)
					_ = v.cmd.Wait() // it was killed
				}
				b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms/kill")
			})
		}
	}
}
