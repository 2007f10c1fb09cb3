package main

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Where Debian's packages have their jars, and those that are packed with all that they name: the
// server; what it logs by, to standard error; and what TLS takes.
const javaDir = "/usr/share/java"

var seeds = []string{"zookeeper.jar", "slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar", "netty-transport-native-unix-common.jar"}

// notice is what ZooKeeper's licence wants handed on.
const notice = "/usr/share/doc/zookeeper/NOTICE.txt"

// zooKeeper is the jars of Debian's package and all that they need, and the licences of each
// package that they are of.
func zooKeeper(ctx context.Context) ([]file, error) {
	jars := map[string]string{} // by path
	for _, seed := range seeds {
		if err := collect(filepath.Join(javaDir, seed), jars); err != nil {
			return nil, fmt.Errorf("ZooKeeper, which comes along, is taken from Debian's package: %w; make zookeeper installs it", err)
		}
	}
	var files []file
	owners := map[string]bool{}
	for path, real := range jars {
		files = append(files, file{"lib/zookeeper/" + filepath.Base(path), real})
		said, err := exec.CommandContext(ctx, "dpkg", "-S", real).Output()
		if err != nil {
			return nil, fmt.Errorf("the package of %s, for its licence: dpkg -S: %w", real, err)
		}
		owner, _, _ := strings.Cut(string(said), ":")
		owners[owner] = true
	}
	licenses, err := licensesOf(owners)
	return append(append(files, licenses...), file{"lib/zookeeper/NOTICE.txt", notice}), err
}

// common is a licence that Debian's copyright files do not repeat, but name.
var common = regexp.MustCompile(`/usr/share/common-licenses/[A-Za-z0-9.-]*[A-Za-z0-9]`)

// licensesOf is the copyright files of packages, and the licences that these name.
func licensesOf(owners map[string]bool) ([]file, error) {
	files := map[string]string{} // by name in the archive
	for owner := range owners {
		path, err := filepath.EvalSymlinks(filepath.Join("/usr/share/doc", owner, "copyright"))
		if err != nil {
			return nil, fmt.Errorf("the licence of %s: %w", owner, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files["lib/zookeeper/licenses/"+owner] = path
		for _, name := range common.FindAllString(string(text), -1) {
			real, err := filepath.EvalSymlinks(name)
			if err != nil {
				return nil, fmt.Errorf("the licence that %s names: %w", path, err)
			}
			files["lib/zookeeper/licenses/common/"+filepath.Base(name)] = real
		}
	}
	var all []file
	for name, from := range files {
		all = append(all, file{name, from})
	}
	return all, nil
}

// collect adds a jar and what its manifest names. What a manifest names and nobody installed is
// for something that a server does not do.
func collect(path string, jars map[string]string) error {
	if jars[path] != "" {
		return nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	jars[path] = real
	named, err := classPath(real)
	if err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	for _, other := range named {
		if !filepath.IsAbs(other) {
			other = filepath.Join(filepath.Dir(path), other)
		}
		if err := collect(other, jars); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// classPath is the entries of a manifest's Class-Path, whose lines go on behind a blank.
func classPath(jar string) ([]string, error) {
	r, err := zip.OpenReader(jar)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	i := slices.IndexFunc(r.File, func(f *zip.File) bool { return f.Name == "META-INF/MANIFEST.MF" })
	if i < 0 {
		return nil, nil
	}
	manifest, err := r.File[i].Open()
	if err != nil {
		return nil, err
	}
	defer manifest.Close()
	return parseClassPath(manifest)
}

func parseClassPath(manifest io.Reader) ([]string, error) {
	var value strings.Builder
	inside := false
	lines := bufio.NewScanner(manifest)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if more, ok := strings.CutPrefix(line, " "); ok {
			if inside {
				value.WriteString(more)
			}
			continue
		}
		var first string
		if first, inside = strings.CutPrefix(line, "Class-Path: "); inside {
			value.WriteString(first)
		}
	}
	return strings.Fields(value.String()), lines.Err()
}
