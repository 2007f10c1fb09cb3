package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// configured starts a process with a configuration file, and returns how the file is written anew.
func configured(t *testing.T, text string, args ...string) (b *background, rewrite func(string)) {
	t.Helper()
	conf := t.TempDir()
	rewrite = func(text string) {
		if err := os.WriteFile(filepath.Join(conf, "perennial.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(text)
	return inBackground(t, t.TempDir(), append([]string{args[0], "--conf", conf}, args[1:]...)...), rewrite
}

func (b *background) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestReload: SIGHUP takes what can be taken, names what cannot, and a mistake changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	for role, ready := range map[string]string{"jobmanager": "took over", "taskmanager": "offers slots"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			b, rewrite := configured(t, "log.level: info\ntaskmanager.slots: 1\n", role, "-D", "rest.port=0", "-D", "jobmanager.rpc.port="+nobody(t))
			b.says(t, ready)

			rewrite("log.level: warn\nheartbeat.timeout: 900ms\ntaskmanager.slots: 2\n")
			b.signal(t, syscall.SIGHUP)
			b.says(t, "log.level: info -> warn")
			b.says(t, "waits-for-a-restart=[taskmanager.slots]")
			pace := "heartbeat.timeout: 500ms -> 900ms"
			if said := holds(b.log, pace) == nil; said != (role == "jobmanager") {
				t.Errorf("a %s says %q: %v", role, pace, said)
			}

			rewrite("log.level: loud\n")
			b.signal(t, syscall.SIGHUP)
			b.says(t, "nothing has changed")
			b.says(t, "expected one of debug, info, warn, error")

			rewrite("log.level: debug\n")
			b.signal(t, syscall.SIGHUP)
			b.says(t, "log.level: warn -> debug")
			if status, _ := b.interrupt(t); status != 0 {
				t.Errorf("status %d", status)
			}
		})
	}
}

// TestReloadRefusesPace: a heartbeat that would depose every leader is refused as a whole.
func TestReloadRefusesPace(t *testing.T) {
	t.Parallel()
	b, rewrite := configured(t, "", "jobmanager", "-D", "rest.port=0", "-D", "jobmanager.rpc.port=0")
	b.says(t, "took over")
	rewrite("log.level: error\nheartbeat.interval: 3s\nheartbeat.timeout: 6s\ntaskmanager.timeout: 2s\n")
	b.signal(t, syscall.SIGHUP)
	b.says(t, "taskmanager.timeout (2s) must be longer than heartbeat.interval (3s)")
	b.says(t, "nothing has changed")
	if err := holds(b.log, "log.level"); err == nil {
		t.Error("the level was changed with it")
	}
	b.interrupt(t)
}

// TestTermWhileSomethingHangs: a process that cannot end in order, as a call of the system does not return, has ended within 2 s
// all the same. Here it is its log: a pipe that is full, and that nobody reads any more.
func TestTermWhileSomethingHangs(t *testing.T) {
	t.Parallel()
	for role, ready := range map[string]string{"jobmanager": "took over", "taskmanager": "offers slots"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "log")
			if err := syscall.Mkfifo(pipe, 0o644); err != nil {
				t.Fatal(err)
			}
			reads, writes, fills := opened(t, pipe, os.O_RDWR), opened(t, pipe, os.O_WRONLY), opened(t, pipe, os.O_WRONLY|syscall.O_NONBLOCK)
			cmd := command(limited(t), t.TempDir(), role, "-D", "rest.port=0", "-D", "jobmanager.rpc.port="+nobody(t))
			cmd.Stderr = writes
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said, some := "", make([]byte, 4096)
			for !strings.Contains(said, ready) {
				n, err := reads.Read(some)
				if said += string(some[:n]); err != nil {
					t.Fatalf("%v: %s", err, said)
				}
			}
			raw := int(fills.Fd()) // from here on a write would wait; that of the system does not
			if err := syscall.SetNonblock(raw, true); err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{4096, 1} {
				for {
					if _, err := syscall.Write(raw, make([]byte, size)); err != nil {
						break
					}
				}
			}
			began := time.Now()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the status tells
			if status, took := cmd.ProcessState.ExitCode(), time.Since(began); status != 1 || took > 2*time.Second {
				t.Errorf("it ended with status %d after %v", status, took)
			}
		})
	}
}

func opened(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestTerm: a process that is asked to end hands over and has ended within 2 s, with status 0, even where a client holds
// a connection that asks nothing.
func TestTerm(t *testing.T) {
	t.Parallel()
	for role, ready := range map[string]string{"jobmanager": "took over", "taskmanager": "offers slots"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			port := nobody(t)
			b, _ := configured(t, "", role, "-D", "rest.port="+port, "-D", "jobmanager.rpc.port="+nobody(t))
			b.says(t, ready)
			if role == "jobmanager" {
				resp, err := http.Get("http://localhost:" + port + "/v1/self")
				if err != nil {
					t.Fatal(err)
				}
				defer http.DefaultClient.CloseIdleConnections()
				defer resp.Body.Close()
			}
			began := time.Now()
			b.signal(t, syscall.SIGTERM)
			_ = b.cmd.Wait()
			if status, took := b.cmd.ProcessState.ExitCode(), time.Since(began); status != 0 || took > 2*time.Second {
				t.Errorf("it ended with status %d after %v", status, took)
			}
			b.says(t, fmt.Sprintf("perennial %s has ended", role))
		})
	}
}
