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
	date, err := commitTime(ctx)
	if err != nil {
		return err
	}
	shared, err := sharedFiles(ctx, tmp, date)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, platform := range platforms {
		goos, goarch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("%q: expected a platform such as linux/amd64", platform)
		}
		files := append([]file(nil), shared...)
		for name, pkg := range programs {
			path := filepath.Join(tmp, goos+"-"+goarch, filepath.Base(name))
			if err := compile(ctx, path, pkg, goos, goarch); err != nil {
				return err
			}
			files = append(files, file{name, path})
		}
		top := fmt.Sprintf("perennial-%s-%s-%s", build.Version, goos, goarch)
		path := filepath.Join(out, top+".tar.gz")
		if err := writeArchive(path, top, date, files); err != nil {
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
func compile(ctx context.Context, path, pkg, goos, goarch string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=auto", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for %s/%s: %w\n%s", pkg, goos, goarch, err, text)
	}
	return nil
}

func commitTime(ctx context.Context) (time.Time, error) {
	text, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("the time of the commit: git log: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// sharedFiles is what is the same for every platform: what the checkout has, what the command says
// of itself, and ZooKeeper.
func sharedFiles(ctx context.Context, tmp string, date time.Time) ([]file, error) {
	text, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--", "bin", "conf", "examples", "docs", "deploy", "README.md", "CHANGELOG.md", "LICENSE").Output()
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
	if err := compile(ctx, command, "./cmd/perennial", runtime.GOOS, runtime.GOARCH); err != nil {
		return nil, err
	}
	said, err := described(ctx, command, tmp, date)
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
