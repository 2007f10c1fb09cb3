package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/build"
)

// TestSameBytes: neither the order of the files, nor who owns them, nor when they were written counts.
func TestSameBytes(t *testing.T) {
	date := time.Unix(1_700_000_000, 0)
	pack := func(umask os.FileMode, at time.Time, reversed bool) []byte {
		dir := t.TempDir()
		var files []file
		for name, mode := range map[string]os.FileMode{"bin/run": 0o777, "a/b/c": 0o666, "a/b.txt": 0o666} {
			path := filepath.Join(dir, filepath.Base(name))
			if err := os.WriteFile(path, []byte(name), mode&^umask); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			files = append(files, file{name, path})
		}
		slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
		if reversed {
			slices.Reverse(files)
		}
		out := filepath.Join(dir, "out.tar.gz")
		if err := writeArchive(out, "top", date, files); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := pack(0o022, time.Unix(1, 0), false)
	if !bytes.Equal(first, pack(0o077, time.Unix(2, 0), true)) {
		t.Error("the same files give other bytes")
	}
	zip, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil || zip.Name != "" || !zip.ModTime.IsZero() {
		t.Errorf("the gzip header has name %q and time %v: %v", zip.Name, zip.ModTime, err)
	}
}

func TestClassPath(t *testing.T) {
	got, err := parseClassPath(strings.NewReader("Manifest-Version: 1.0\r\nClass-Path: /a/b.jar /c\r\n .jar d.jar\r\nX: y\r\n z\r\n"))
	if want := []string{"/a/b.jar", "/c.jar", "d.jar"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

// TestLicenses: what is linked has its licences in the archive, those of a module's parts too, and nothing is linked without.
func TestLicenses(t *testing.T) {
	t.Chdir("../..")
	files, err := moduleLicenses(t.Context(), "darwin", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, regexp.MustCompile("@[^/]*").ReplaceAllString(f.name, ""))
	}
	for _, want := range []string{"go/LICENSE", "go.etcd.io/etcd/server/v3/LICENSE", "github.com/minio/minio-go/v7/NOTICE", "golang.org/x/sys/PATENTS", "k8s.io/utils/third_party/forked/golang/LICENSE"} {
		if !slices.Contains(names, "share/licenses/"+want) {
			t.Errorf("there is no %s among %q", want, names)
		}
	}
	without, all := t.TempDir(), map[string]string{}
	if err := os.WriteFile(filepath.Join(without, "license.go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := addLicenses(all, "example.org/none@v1.0.0", without, ""); err == nil || !strings.Contains(err.Error(), "example.org/none@v1.0.0 has no licence") {
		t.Errorf("a module without a licence: %v, %v", err, all)
	}
}

// TestArchive packs this platform's archive twice, unpacks it, and runs a cluster on its own
// ZooKeeper from it as an ordinary user, who cannot write there.
func TestArchive(t *testing.T) {
	t.Chdir("../..")
	checkout, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	top := fmt.Sprintf("perennial-%s-%s-%s", build.Version, runtime.GOOS, runtime.GOARCH)
	dir, err := os.MkdirTemp("", "perennial-archive-") // t.TempDir is for one user
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var archives [2][]byte
	for i, out := range []string{"one", "two"} {
		if err := run(t.Context(), filepath.Join(dir, out), []string{runtime.GOOS + "/" + runtime.GOARCH}); err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(filepath.Join(dir, out, top+".tar.gz")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same commit gives other bytes")
	}
	if text, err := exec.Command("tar", "-xzf", filepath.Join(dir, "one", top+".tar.gz"), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	home := filepath.Join(dir, top)
	mentionsNot(t, home, checkout)
	linksHold(t, home, "README.md", "docs/operations.md", "docs/configuration.md")
	for _, name := range []string{"LICENSE", "conf/zoo.cfg", "docs/operations.md", "deploy/systemd/perennial-jobmanager.service", "deploy/kubernetes/perennial.yaml",
		"deploy/grafana/perennial.json", "deploy/prometheus/perennial.rules.yaml",
		"lib/zookeeper/zookeeper.jar", "lib/zookeeper/NOTICE.txt", "lib/zookeeper/licenses/libzookeeper-java", "lib/zookeeper/licenses/common/Apache-2.0",
		"share/man/man1/perennial-run.1", "share/man/man1/start-cluster.sh.1", "share/completion/perennial.bash",
		"share/licenses/go/LICENSE", "examples/wordcount/main.go"} {
		if _, err := os.Stat(filepath.Join(home, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
	if text, err := exec.Command(filepath.Join(home, "bin", "perennial"), "version").Output(); err != nil || strings.Contains(string(text), "unknown") {
		t.Errorf("version: %s %v", text, err)
	}
	unpacked{t: t, home: home, dir: filepath.Join(dir, "user")}.runs()
}

// mentionsNot looks for a path of this machine in every file.
func mentionsNot(t *testing.T, home, path string) {
	t.Helper()
	err := filepath.WalkDir(home, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if bytes.Contains(text, []byte(path)) {
			t.Errorf("%s mentions %s", name, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// linksHold requires that what pages for operators link to is in the archive. Those for developers link to the source.
func linksHold(t *testing.T, home string, pages ...string) {
	t.Helper()
	link := regexp.MustCompile(`\]\(([^)#:\s("]+)(#[^)]*)?\)`)
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(home, filepath.FromSlash(page)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(home, filepath.Dir(page), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not in the archive", page, m[1])
			}
		}
	}
}

// unpacked is an archive as its user has it.
type unpacked struct {
	t         *testing.T
	home, dir string
}

func (u unpacked) runs() {
	p := freePorts(u.t, 6)
	conf := filepath.Join(u.dir, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(u.dir, "input"), []byte("one two two\n"), 0o644); err != nil {
		u.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"perennial.yaml": fmt.Sprintf("zookeeper.quorum: localhost:%d\n", p[0]),
		"zoo.cfg":        fmt.Sprintf("server.1=localhost:%d:%d;%d\n", p[1], p[2], p[0]),
		"masters":        fmt.Sprintf("localhost:%d\nlocalhost:%d\n", p[3], p[4]),
		"workers":        "localhost\n",
	} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			u.t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(u.dir, 65534, -1); err != nil {
			u.t.Fatal(err)
		}
	}
	defer func() {
		for _, role := range []string{"jobmanager", "taskmanager", "zookeeper"} {
			u.types(role+".sh", "stop-all")
		}
	}()
	u.types("start-zookeeper-quorum.sh")
	u.types("start-cluster.sh")
	out := filepath.Join(u.dir, "output")
	u.types("perennial", "run", filepath.Join(u.home, "examples", "bin", "wordcount"), "--", "--input", filepath.Join(u.dir, "input"), "--output", out)
	u.types("stop-cluster.sh")
	u.types("stop-zookeeper-quorum.sh")
	parts, err := filepath.Glob(filepath.Join(out, "*.csv"))
	if err != nil || len(parts) != 1 {
		u.t.Fatalf("output %q %v", parts, err)
	}
	if text, err := os.ReadFile(parts[0]); err != nil || !strings.Contains(string(text), "two,2\n") {
		u.t.Errorf("the count is %q %v", text, err)
	}
}

// types runs a program of bin/, and requires that it succeeds.
func (u unpacked) types(name string, args ...string) {
	u.t.Helper()
	cmd := exec.Command(filepath.Join(u.home, "bin", name), args...)
	cmd.Dir = u.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "PERENNIAL_") })
	cmd.Env = append(cmd.Env, "PERENNIAL_CONF_DIR="+filepath.Join(u.dir, "conf"), "PERENNIAL_DATA_DIR="+filepath.Join(u.dir, "data"))
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		u.t.Errorf("%s %q: %v\n%s", name, args, err, text)
	}
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var found []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, number)
	}
	return found
}
