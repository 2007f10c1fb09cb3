package launch_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestOneProcess: start, status and stop of a JobManager, from a home that an ordinary user cannot write.
func TestOneProcess(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		p := ports(t, 2)
		rest := strconv.Itoa(p[0])
		rpc := "jobmanager.rpc.port=" + strconv.Itoa(p[1])
		u.types("jobmanager.sh", "status").expect(t, 1, "jobmanager does not run on ")
		u.types("jobmanager.sh", "start", "127.0.0.1", rest, "-D", rpc).expect(t, 0, "jobmanager 1 (127.0.0.1:"+rest+") is started as process ")
		u.types("jobmanager.sh", "status").expect(t, 0, "runs as process "+strconv.Itoa(u.pids("jobmanager")[0]))
		u.types("jobmanager.sh", "status", "127.0.0.1").expect(t, 0)
		u.types("jobmanager.sh", "status", "127.0.0.1", "1").expect(t, 1, "does not run")
		u.types("perennial", "jobmanagers", "-D", "rest.port="+rest).expect(t, 0, "leader", "127.0.0.1:"+rest)
		u.types("jobmanager.sh", "start", "127.0.0.1", rest, "-D", "jobmanager.rpc.port=0", "-D", "coordination.local.dir=other").expect(t, 1, "address already in use", "set rest.port", "perennial-")
		u.types("jobmanager.sh", "stop", "127.0.0.1", "1").expect(t, 1, "there is no jobmanager 127.0.0.1:1 to stop")
		u.types("jobmanager.sh", "stop", "127").expect(t, 2, `"127" is no host`)
		u.types("jobmanager.sh", "stop", "127.0.0.1", rest).expect(t, 0, "has ended")
		u.types("jobmanager.sh", "status").expect(t, 1)
		for _, dir := range []string{"local", "data", "log", "run"} {
			if !exists(filepath.Join(u.Dir, "data", dir)) {
				t.Errorf("%s is not in the data directory", dir)
			}
		}
		if exists(filepath.Join(home, "var")) {
			t.Error("the distribution was written to")
		}
	})
}

// TestSecondInstance: a host may have several, each with a number, a log and a directory of its own.
func TestSecondInstance(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		u.types("taskmanager.sh", "start").expect(t, 0, "taskmanager 1 is started")
		u.types("taskmanager.sh", "start").expect(t, 0, "taskmanager 2 is started")
		if pids := u.pids("taskmanager"); len(pids) != 2 || pids[0] == pids[1] {
			t.Errorf("processes %v", pids)
		}
		u.types("taskmanager.sh", "status").expect(t, 0, "taskmanager 1 runs", "taskmanager 2 runs")
		u.types("taskmanager.sh", "stop").expect(t, 0, "taskmanager 2, process ")
		u.types("taskmanager.sh", "start").expect(t, 0, "taskmanager 2 is started")
		u.types("taskmanager.sh", "stop-all").expect(t, 0, "taskmanager 1, process ", "taskmanager 2, process ")
		logs, err := filepath.Glob(filepath.Join(u.Dir, "data", "log", "perennial-*-taskmanager-2-*.log*"))
		if err != nil || len(logs) != 2 || !strings.HasSuffix(logs[1], ".log.1") {
			t.Errorf("logs %q %v", logs, err)
		}
	})
}

// TestDrainedStop: a TaskManager is drained before it ends. One that the leader does not know is not stopped.
func TestDrainedStop(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		p := ports(t, 2)
		rest, rpc := "rest.port="+strconv.Itoa(p[0]), "jobmanager.rpc.port="+strconv.Itoa(p[1])
		u.types("taskmanager.sh", "start", "--drain").expect(t, 2, "--drain is for stop")
		u.types("taskmanager.sh", "stop", "--timeout", "5s").expect(t, 2, "--timeout for stop --drain")
		u.types("taskmanager.sh", "stop", "--drain", "-D", rest).expect(t, 0, "no taskmanager to stop")
		u.types("jobmanager.sh", "start", "-D", rest, "-D", rpc).expect(t, 0)
		u.types("taskmanager.sh", "start", "-D", rest, "-D", "jobmanager.rpc.port=1").expect(t, 0) // where nobody is
		u.types("taskmanager.sh", "stop", "--drain", "-D", rest).expect(t, 1, "the leader knows no TaskManager with this host and process id")
		u.types("taskmanager.sh", "stop").expect(t, 0, "has ended")
		u.types("taskmanager.sh", "start", "-D", rest, "-D", rpc).expect(t, 0)
		eventually(t, func() error {
			if r := u.types("taskmanager.sh", "stop", "--drain", "-D", rest); r.Status != 0 || !strings.Contains(r.Stdout, "has ended") {
				return fmt.Errorf("%s%s", r.Stdout, r.Stderr) // it has not registered yet
			}
			return nil
		})
		u.types("taskmanager.sh", "status").expect(t, 1)
		u.types("jobmanager.sh", "stop").expect(t, 0)
	})
}

// TestEndedWithoutAStop: it is noticed, and its number is used again; nobody else is ended for it.
func TestEndedWithoutAStop(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		u.types("taskmanager.sh", "start").expect(t, 0)
		pid := u.pids("taskmanager")[0]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if r := u.types("taskmanager.sh", "status"); r.Status != 1 {
				return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
			}
			return nil
		})
		u.types("taskmanager.sh", "status").expect(t, 1, "taskmanager 1 has ended without a stop; it was process "+strconv.Itoa(pid))
		u.types("taskmanager.sh", "start").expect(t, 0, "a pid file was left by process "+strconv.Itoa(pid), "taskmanager 1 is started")
		u.types("taskmanager.sh", "stop").expect(t, 0)

		foreign := u.command("sleep", "1000") // the same user's, so that only the look protects it
		if err := foreign.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = foreign.Process.Kill(); _ = foreign.Wait() }()
		file := filepath.Join(u.Dir, "data", "run", "perennial-"+u.name()+"-taskmanager-1-"+hostname(t)+".pid")
		if err := os.WriteFile(file, []byte(strconv.Itoa(foreign.Process.Pid)+"\n\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		held, err := os.Open(file) // and locked, as anything that reads it may do
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		u.types("taskmanager.sh", "status").expect(t, 1, "has ended without a stop")
		u.types("taskmanager.sh", "stop").expect(t, 0, "no taskmanager to stop")
		u.types("taskmanager.sh", "stop-all").expect(t, 0, "was left alone")
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", foreign.Process.Pid))
		if err == nil && strings.Contains(string(state), ") Z ") || foreign.Process.Signal(syscall.Signal(0)) != nil {
			t.Error("a foreign process was ended")
		}
	})
}

// TestEndsAtOnce: what binds its ports and then finds that it cannot go on was not started; nor was what waits a while
// for a directory that another uses.
func TestEndsAtOnce(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		p := ports(t, 2)
		jobManager := []string{"start", "127.0.0.1", strconv.Itoa(p[0]), "-D", "jobmanager.rpc.port=" + strconv.Itoa(p[1])}
		u.types("jobmanager.sh", jobManager...).expect(t, 0)
		u.types("jobmanager.sh", "stop").expect(t, 0)
		u.types("jobmanager.sh", append(jobManager, "-D", "coordination.local.dir=other")...).expect(t, 1, "jobmanager 1 (127.0.0.1:", "has ended (exit status 1)", "belongs to cluster")
		u.types("taskmanager.sh", "start", "-D", "taskmanager.dir=./taskmanager-2").expect(t, 0, "taskmanager 1 is started")
		u.types("taskmanager.sh", "start").expect(t, 1, "taskmanager 2 has ended", "another TaskManager uses")
	})
}

func (u *user) name() string {
	out, err := u.command("id", "-un").Output()
	if err != nil {
		u.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func hostname(t *testing.T) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// TestForeground: the script becomes the process, and its signals are the process's.
func TestForeground(t *testing.T) {
	eachUser(t, func(t *testing.T, u *user) {
		p := ports(t, 2)
		cmd := u.command(filepath.Join(home, "bin", "jobmanager.sh"), "start-foreground", "127.0.0.1", strconv.Itoa(p[0]), "-D", "jobmanager.rpc.port="+strconv.Itoa(p[1]))
		log, err := os.Create(filepath.Join(u.Dir, "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		eventually(t, func() error {
			text, err := os.ReadFile(log.Name())
			if err == nil && !strings.Contains(string(text), "JobManager is up") {
				err = fmt.Errorf("it is not up: %s", text)
			}
			return err
		})
		address := []string{"127.0.0.1", strconv.Itoa(p[0])}
		u.types("jobmanager.sh", append([]string{"status"}, address...)...).expect(t, 0, "answers at 127.0.0.1:"+address[1], "These scripts did not start it")
		u.types("jobmanager.sh", "status", "-D", "rest.port="+address[1]).expect(t, 0, "answers at localhost:"+address[1])
		u.types("jobmanager.sh", "stop").expect(t, 0, "no jobmanager to stop")
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		u.types("jobmanager.sh", append([]string{"status"}, address...)...).expect(t, 1, "does not run")

		tm := u.command(filepath.Join(home, "bin", "taskmanager.sh"), "start-foreground")
		if err := tm.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tm.Process.Kill(); _ = tm.Wait() }()
		eventually(t, func() error {
			if r := u.types("taskmanager.sh", "status"); r.Status != 0 || !strings.Contains(r.Stdout, "a TaskManager works in "+u.Dir) {
				return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
			}
			return nil
		})
		if err := tm.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := tm.Wait(); err != nil {
			t.Error(err)
		}
		u.types("taskmanager.sh", "status").expect(t, 1, "does not run")
	})
}

// TestFromElsewhere: through a symbolic link, with relative directories.
func TestFromElsewhere(t *testing.T) {
	u := newUser(t, os.Getuid())
	u.Env = []string{"PERENNIAL_DATA_DIR=data"}
	link := filepath.Join(u.Dir, "tm")
	if err := os.Symlink(filepath.Join(home, "bin", "taskmanager.sh"), link); err != nil {
		t.Fatal(err)
	}
	if out, err := u.command(link, "start").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	u.types("taskmanager.sh", "stop").expect(t, 0, "taskmanager 1, process ")
}

func TestHelpOfScripts(t *testing.T) {
	u := newUser(t, os.Getuid())
	scripts, err := filepath.Glob(filepath.Join(home, "bin", "*.sh"))
	if err != nil || len(scripts) != 7 {
		t.Fatalf("%q %v", scripts, err)
	}
	for _, s := range scripts {
		name := filepath.Base(s)
		r := u.types(name, "--help")
		r.expect(t, 0, "Usage:\n  "+name, "PERENNIAL_CONF_DIR")
		if r.Stderr != "" {
			t.Errorf("%s --help complains: %s", name, r.Stderr)
		}
	}
}

func TestMistakesOfScripts(t *testing.T) {
	u := newUser(t, os.Getuid())
	u.configured(map[string]string{"zoo.cfg": "server.1=localhost:2888:3888\n"})
	for line, want := range map[string][]string{
		"jobmanager.sh":                                   {"nothing: expected one of start, start-foreground, stop, stop-all, status"},
		"jobmanager.sh begin":                             {`"begin"`, "expected one of start"},
		"jobmanager.sh start a 1 2":                       {"too many arguments"},
		"jobmanager.sh start -D rest.prt=1":               {"rest.prt", "rest.port"},
		"taskmanager.sh start a 1":                        {"too many arguments"},
		"taskmanager.sh stop-all now":                     {"takes no argument", `"now"`},
		"zookeeper.sh start":                              {"of which server?", "server.N"},
		"zookeeper.sh start 02":                           {"no server.2; it has 1"},
		"jobmanager.sh start 8090":                        {`"8090" is no host`},
		"taskmanager.sh stop 1":                           {`"1" is no host`},
		"jobmanager.sh start a high":                      {"rest.port", `"high"`, "0 to 65535"},
		"jobmanager.sh start a 99999":                     {"rest.port", `"99999"`, "0 to 65535"},
		"jobmanager.sh start a/b":                         {"jobmanager.rpc.address", `"a/b"`},
		"zookeeper.sh start x":                            {`server "x"`, "server.N"},
		"zookeeper.sh start 2":                            {"no server.2; it has 1"},
		"start-cluster.sh now":                            {"takes no argument"},
		"stop-cluster.sh --cancel":                        {"--cancel"},
		"start-cluster.sh -D zookeeper.quorum=a:1":        {"conf/masters lists no JobManager", "host:rest-port"},
		"start-cluster.sh -D high-availability=x":         {"high-availability", `"x"`},
		"start-zookeeper-quorum.sh --conf nowhere":        {"nowhere"},
		"stop-zookeeper-quorum.sh --conf " + os.TempDir(): {"zoo.cfg: there is no such file"},
	} {
		words := strings.Fields(line)
		u.types(words[0], words[1:]...).expect(t, 2, want...)
	}
	if exists(filepath.Join(u.Dir, "data", "log", "perennial-"+u.name()+"-jobmanager-1-"+hostname(t)+".log")) {
		t.Error("a process was started with a mistake")
	}
	u.types("taskmanager.sh", "stop", "elsewhere").expect(t, 1, "there is no taskmanager elsewhere to stop")
	u.types("zookeeper.sh", "stop", "77").expect(t, 1, "there is no zookeeper 77 to stop")
	u.configured(map[string]string{"perennial.yaml": "rest.prot: 1\n"}) // which has nothing to do with ZooKeeper
	u.types("stop-zookeeper-quorum.sh").expect(t, 0, "no zookeeper to stop")
	u.configured(map[string]string{"perennial.yaml": "zookeeper.quorum: a:1\n", "masters": "# none yet\n\n"})
	u.types("start-cluster.sh").expect(t, 2, "masters lists no JobManager", "host:rest-port")
	for file, want := range map[string][]string{
		"workers": {"workers:2", `"a b"`, "expected a host name"},
		"masters": {"masters:2", `"a b"`, "expected host or host:rest-port"},
	} {
		u := newUser(t, os.Getuid())
		u.configured(map[string]string{file: "localhost\na b\n"})
		u.types("start-cluster.sh").expect(t, 2, want...)
	}
}

// TestUnwritableHome: an ordinary user is told what to set.
func TestUnwritableHome(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has a home that others cannot write")
	}
	u := newUser(t, 65534)
	data := u.Env
	u.Env = nil
	u.types("jobmanager.sh", "start").expect(t, 1, filepath.Join(home, "var"), "set PERENNIAL_DATA_DIR")
	u.types("taskmanager.sh", "start-foreground").expect(t, 1, "set PERENNIAL_DATA_DIR")
	u.Env = data
}

// TestNoJava: what is missing, and that the embedded quorum does without.
func TestNoJava(t *testing.T) {
	u := newUser(t, os.Getuid())
	u.configured(map[string]string{"zoo.cfg": "server.1=localhost:2888:3888\n"})
	tools := filepath.Join(u.Dir, "tools")
	if err := os.Mkdir(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"dirname", "readlink"} { // all that the scripts use
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(tools, tool)); err != nil {
			t.Fatal(err)
		}
	}
	u.Path = tools
	for _, script := range [][]string{{"zookeeper.sh", "start", "1"}, {"zookeeper.sh", "start-foreground", "1"}, {"start-zookeeper-quorum.sh"}} {
		u.types(script[0], script[1:]...).expect(t, 1, "JAVA_HOME is not set and no java is in PATH", "default-jre-headless", "high-availability: embedded needs none")
	}
	u.Env = append(u.Env, "JAVA_HOME=/nowhere")
	u.types("zookeeper.sh", "start", "1").expect(t, 1, "JAVA_HOME is /nowhere", "embedded needs none")
}

// TestClientPortTaken: who answers there is not taken for the server.
func TestClientPortTaken(t *testing.T) {
	u := newUser(t, os.Getuid())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u.configured(map[string]string{"zoo.cfg": fmt.Sprintf("server.1=localhost:2888:3888;127.0.0.1:%d\n", l.Addr().(*net.TCPAddr).Port)})
	for _, action := range []string{"start", "start-foreground"} {
		u.types("zookeeper.sh", action, "1").expect(t, 1, "another process listens at its client port, "+l.Addr().String())
	}
}

// smallDisk mounts a file system of so many KiB until the test ends.
func (u *user) smallDisk(name string, size int) (dir string) {
	u.t.Helper()
	dir = filepath.Join(u.Dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		u.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dk", size), "tmpfs", dir).CombinedOutput(); err != nil {
		u.t.Skipf("no tmpfs can be mounted here: %v %s", err, out)
	}
	u.t.Cleanup(func() {
		u.stopAll() // before what it writes to goes
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			u.t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// fill writes to a disk until it is full.
func (u *user) fill(dir string) {
	u.t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "filler"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		u.t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		u.t.Fatalf("the disk is not full: %v", err)
	}
}

// TestFullDisk: whose disk is full, and which, is in the log of that process, or in the answer; the processes go on.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	for name, key := range map[string]string{"storage": "storage.dir", "work": "taskmanager.dir"} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t, 0)
			disk := u.smallDisk(name, 40<<10)
			p := ports(t, 2)
			common := []string{"-D", "rest.port=" + strconv.Itoa(p[0]), "-D", "jobmanager.rpc.port=" + strconv.Itoa(p[1]), "-D", key + "=" + disk}
			u.types("jobmanager.sh", append([]string{"start"}, common...)...).expect(t, 0)
			u.types("taskmanager.sh", append([]string{"start"}, common...)...).expect(t, 0)
			u.fill(disk)
			run := append(append([]string{"run", "-d"}, common...), filepath.Join(home, "wordcount"), "--", "--input", filepath.Join(home, "conf", "masters"), "--output", filepath.Join(u.Dir, "out"))
			cmd, said := u.command(filepath.Join(home, "bin", "perennial"), run...), filepath.Join(u.Dir, "said")
			out, err := os.Create(said)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stderr = out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // it tries on, as the disk may become free

			// The command waits for it, says so, and until when.
			if name == "storage" {
				eventually(t, func() error {
					text, err := os.ReadFile(said)
					if err == nil && !strings.Contains(string(text), "the leading JobManager is not able to yet; trying on until ") {
						err = fmt.Errorf("the command says %q", text)
					}
					return err
				})
			}
			eventually(t, func() error {
				text, err := os.ReadFile(said)
				all := string(text) + u.types("perennial", append([]string{"logs", "jobmanager", "leader"}, common...)...).Stdout
				if err == nil && (!strings.Contains(all, disk+"/") || !strings.Contains(all, "no space left on device")) {
					err = fmt.Errorf("neither the command nor the log of the leader say which disk is full: %s", all)
				}
				return err
			})
			u.types("jobmanager.sh", "status").expect(t, 0, "runs as process")
			u.types("taskmanager.sh", "status").expect(t, 0, "runs as process")
		})
	}
}

// TestFullLogDisk: a process whose log cannot be written goes on.
func TestFullLogDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	u := newUser(t, 0)
	logs := u.smallDisk("logs", 64)
	u.Env = append(u.Env, "PERENNIAL_LOG_DIR="+logs)
	if err := os.WriteFile(filepath.Join(logs, "filler"), make([]byte, 60<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	p := ports(t, 2)
	rest := strconv.Itoa(p[0])
	u.types("jobmanager.sh", "start", "127.0.0.1", rest, "-D", "jobmanager.rpc.port="+strconv.Itoa(p[1]), "-D", "log.level=debug").expect(t, 0)
	u.fill(logs)
	u.types("taskmanager.sh", "start", "-D", "jobmanager.rpc.port="+strconv.Itoa(p[1])).expect(t, 0)
	u.types("perennial", "run", "-D", "rest.port="+rest, filepath.Join(home, "wordcount"), "--", "--input", filepath.Join(home, "conf", "masters"), "--output", filepath.Join(u.Dir, "out")).expect(t, 0, "finished in")
	u.types("jobmanager.sh", "status").expect(t, 0)
}
