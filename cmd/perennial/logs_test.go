package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/client"
)

// taskManagerID is that of the shared cluster's TaskManager, by a job that runs there.
func taskManagerID(t *testing.T, id string) string {
	t.Helper()
	return info(t, id).Vertices[0].Subtasks[0].TaskManager
}

// printing is a job that runs and prints.
func printing(t *testing.T) (id string, cancel func()) {
	t.Helper()
	id = strings.TrimSpace(asked(t, "run", "-d", "-p", "1", binaries.mistakes, "--", "--what", "prints").stdout)
	eventually(t, func() error { return holds(filepath.Join(workDir(), "jobs", id+"-1", "stderr"), "remark 9") })
	return id, func() { asked(t, "cancel", id).expect(t, 0) }
}

// TestLogs: each process's log is read through the leader, the end of it or all.
func TestLogs(t *testing.T) {
	id, cancel := printing(t)
	defer cancel()
	all := asked(t, "logs", id, "-n", "-1")
	all.expect(t, 0)
	for _, want := range []string{"/stdout <==\nnumber 0\nnumber 1\n", "/stderr <==\n", "remark 0\nremark 1\n"} {
		if !strings.Contains(all.stdout, want) {
			t.Errorf("%q is not in:\n%.2000s", want, all.stdout)
		}
	}
	r := asked(t, "logs", id, "-n", "1")
	r.expect(t, 0)
	if n := strings.Count(r.stdout, "number"); n < 1 || n > 100 {
		t.Errorf("%d numbers in the last line (and what came meanwhile):\n%.2000s", n, r.stdout)
	}
	for _, test := range []struct{ role, part, want string }{
		{"jobmanager", "leader", "took over"}, {"jobmanager", "jm-", "JobManager is up"},
		{"taskmanager", taskManagerID(t, id), "TaskManager offers slots"}, {"taskmanager", "localhost", "task process started"},
	} {
		r := asked(t, "logs", test.role, test.part, "--lines", "-1")
		r.expect(t, 0)
		if !strings.Contains(r.stdout, test.want) || strings.Contains(r.stdout, "==>") {
			t.Errorf("%s %s: %q is not in:\n%s", test.role, test.part, test.want, r.stdout)
		}
	}
}

func TestLogsThatAreNot(t *testing.T) {
	asked(t, "logs").expect(t, exitUsage, "logs takes JOB, or jobmanager ID, or taskmanager ID")
	asked(t, "logs", "jobmanager").expect(t, exitUsage, "jobmanager ID")
	asked(t, "logs", "jobmanager", "nobody").expect(t, exitFailed, `0 JobManagers are called "nobody"; there are jm-`)
	asked(t, "logs", "taskmanager", "nobody").expect(t, exitFailed, `no TaskManager is called "nobody"; there are tm-`)
	asked(t, "logs", string(client.NewID())).expect(t, exitFailed, "there is no job")
}

// TestLogsFollow: what is written later comes, until a person has seen enough.
func TestLogsFollow(t *testing.T) {
	id, cancel := printing(t)
	defer cancel()
	b := inBackground(t, t.TempDir(), "logs", "-D", "rest.port="+restPort(t), "-f", "-n", "0", id)
	eventually(t, func() error { return holds(b.out, "remark ") })
	if status, _ := b.interrupt(t); status != 0 {
		t.Errorf("status %d", status)
	}
	text, err := os.ReadFile(b.out)
	if err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`number \d+\n`).FindAllString(string(text), -1)
	for i, n := range numbers {
		if i > 0 && n == numbers[i-1] {
			t.Errorf("%q came twice", n)
		}
	}
}

// TestLogElsewhere: a process whose log is no file says where it is.
func TestLogElsewhere(t *testing.T) {
	port := nobody(t)
	cmd := command(limited(t), t.TempDir(), "jobmanager", "-D", "rest.port="+port, "-D", "jobmanager.rpc.port=0")
	var log bytes.Buffer
	cmd.Stderr = &log // by a pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	typed(t, "logs", "-D", "rest.port="+port, "jobmanager", "leader").expect(t, exitFailed, "logs to whoever started it, by a pipe")
}

// TestProfile: of each kind of process comes what pprof reads.
func TestProfile(t *testing.T) {
	id, cancel := printing(t)
	defer cancel()
	samples := map[string]string{"cpu": "nanoseconds", "heap": "inuse_space", "goroutine": "goroutine"}
	for _, of := range []string{id, "leader", taskManagerID(t, id)} {
		for kind, sample := range samples {
			file := filepath.Join(t.TempDir(), "x.pb.gz")
			r := asked(t, "profile", of, kind, "--seconds", "1", "-o", file)
			r.expect(t, 0)
			if r.stdout != file+"\n" {
				t.Errorf("standard output %q", r.stdout)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(z); err != nil || !bytes.Contains(text, []byte(sample)) {
				t.Errorf("%s of %s has no samples of %s (%v)", kind, of, sample, err)
			}
		}
	}
	asked(t, "profile", id, "blood").expect(t, exitUsage, `there is no profile "blood"`)
	asked(t, "profile", id, "cpu", "--seconds", "0").expect(t, exitUsage, "a CPU profile of 0 s")
	asked(t, "profile", "tm-nobody", "heap").expect(t, exitFailed, "no TaskManager is called")
}

func TestProfilePath(t *testing.T) {
	p := profiledProcess{name: "abc", pid: 7}
	for _, test := range []struct {
		out     string
		several bool
		want    string
	}{
		{"", false, "perennial-cpu-abc.pb.gz"}, {"", true, "perennial-cpu-abc-1-7.pb.gz"},
		{"d.x/cpu.pb.gz", true, "d.x/cpu-1-7.pb.gz"}, {"d.x/cpu", true, "d.x/cpu-1-7"}, {"d.x/cpu", false, "d.x/cpu"},
	} {
		if got := profilePath(test.out, "cpu", p, test.several, 0); got != test.want {
			t.Errorf("%q, several %v: %q, want %q", test.out, test.several, got, test.want)
		}
	}
}
