// Command dist packs the distribution: perennial-VERSION-OS-ARCH.tar.gz for each platform that it is
// given. It is run by make dist, in the directory of a checkout.
//
// The same commit gives the same bytes: programs are compiled without paths of this machine, entries
// are in the order of their names, and carry the time of the commit and nobody's name. It never
// changes the checkout, and starts no goroutine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-io/perennial/internal/build"
)

func main() {
	out := flag.String("out", "dist", "directory of the archives")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, platforms []string) error {
	if len(platforms) == 0 {
		return fmt.Errorf("for which platforms? Expected linux/amd64 or the like")
	}
	tmp, err := os.MkdirTemp("", "perennial-dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	c, err := commitOf(ctx)
	if err != nil {
		return err
	}
	shared, err := sharedFiles(ctx, tmp, c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, name := range platforms {
		goos, goarch, ok := strings.Cut(name, "/")
		if !ok {
			return fmt.Errorf("%q: expected a platform such as linux/amd64", name)
		}
		licenses, err := moduleLicenses(ctx, goos, goarch)
		if err != nil {
			return err
		}
		files := append(licenses, shared...)
		for name, pkg := range programs {
			path := filepath.Join(tmp, goos+"-"+goarch, filepath.Base(name))
			if err := compile(ctx, path, pkg, goos, goarch, c); err != nil {
				return err
			}
			files = append(files, file{name, path})
		}
		top := fmt.Sprintf("perennial-%s-%s-%s", build.Version, goos, goarch)
		path := filepath.Join(out, top+".tar.gz")
		if err := writeArchive(path, top, c.time, files); err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}

// programs are what is compiled for each platform, by its name in the archive.
var programs = map[string]string{
	"bin/perennial":          "./cmd/perennial",
	"examples/bin/wordcount": "./examples/wordcount",
	"examples/bin/sessions":  "./examples/sessions",
}

// compile builds a program that depends neither on where it was built nor on libraries of a system.
// The revision is set here: what Go stamps by itself depends on how the checkout was made.
func compile(ctx context.Context, path, pkg, goos, goarch string, c commit) error {
	const revision = "github.com/perennial-io/perennial/internal/build.revision="
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X "+revision+c.revision, "-o", path, pkg)
	cmd.Env = platform(goos, goarch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for %s/%s: %w\n%s", pkg, goos, goarch, err, text)
	}
	return nil
}

// platform is the environment in which the go command compiles for one, and lists what it would compile.
func platform(goos, goarch string) []string {
	return append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=")
}

type commit struct {
	revision string // with "-modified" behind it, if the checkout has changes
	time     time.Time
}

func commitOf(ctx context.Context) (commit, error) {
	text, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%H %ct").Output()
	if err != nil {
		return commit{}, fmt.Errorf("the commit: git log: %w", err)
	}
	revision, seconds, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return commit{}, fmt.Errorf("the time of commit %s: %w", revision, err)
	}
	changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil {
		return commit{}, fmt.Errorf("changes since the commit: git status: %w", err)
	}
	if len(changes) > 0 {
		revision += "-modified"
	}
	return commit{revision, time.Unix(at, 0).UTC()}, nil
}

// sharedFiles is what is the same for every platform: what the checkout has, what the command says
// of itself, and ZooKeeper.
func sharedFiles(ctx context.Context, tmp string, c commit) ([]file, error) {
	text, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--", "bin", "conf", "examples", "docs", "deploy", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "benchmarks/results.md").Output()
	if err != nil {
		return nil, fmt.Errorf("list the checkout's files: git ls-files: %w", err)
	}
	var files []file
	for name := range strings.SplitSeq(strings.Trim(string(text), "\x00"), "\x00") {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, file{name, name})
		}
	}
	command := filepath.Join(tmp, "perennial")
	if err := compile(ctx, command, "./cmd/perennial", runtime.GOOS, runtime.GOARCH, c); err != nil {
		return nil, err
	}
	said, err := described(ctx, command, tmp, c.time)
	if err != nil {
		return nil, err
	}
	jars, err := zooKeeper(ctx)
	if err != nil {
		return nil, err
	}
	return append(append(files, said...), jars...), nil
}

// described is the manual pages and the shells' completions, which the command writes itself.
func described(ctx context.Context, command, tmp string, date time.Time) ([]file, error) {
	man := filepath.Join(tmp, "man1")
	if err := os.Mkdir(man, 0o755); err != nil {
		return nil, err
	}
	if text, err := exec.CommandContext(ctx, command, "man", "--date", date.Format(time.DateOnly), man).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("write manual pages: %w\n%s", err, text)
	}
	pages, err := os.ReadDir(man)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, p := range pages {
		files = append(files, file{"share/man/man1/" + p.Name(), filepath.Join(man, p.Name())})
	}
	for shell, name := range map[string]string{"bash": "perennial.bash", "zsh": "_perennial", "fish": "perennial.fish"} {
		text, err := exec.CommandContext(ctx, command, "completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("write the completion of %s: %w", shell, err)
		}
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return nil, err
		}
		files = append(files, file{"share/completion/" + name, path})
	}
	return files, nil
}
