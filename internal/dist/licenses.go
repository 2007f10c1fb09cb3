package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// license matches the names of files that a licence wants handed on.
var license = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents|unlicense)([._-].*)?$`)

// linked is a package of which a program is made, as go list tells it.
type linked struct {
	Dir        string
	Standard   bool
	ImportPath string
	Module     *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// moduleLicenses is those of what is linked into the programs of a platform, below share/licenses: of Go itself, and of each
// module, where its directories that the packages are in have them.
func moduleLicenses(ctx context.Context, goos, goarch string) ([]file, error) {
	packages := slices.Sorted(maps.Values(programs))
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-json=Dir,Standard,ImportPath,Module"}, packages...)...)
	cmd.Env = platform(goos, goarch)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list what is linked: go list: %w", err)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("where Go is, for its licence: go env: %w", err)
	}
	all := map[string]string{} // by name in the archive
	if err := addLicenses(all, "go", strings.TrimSpace(string(root)), ""); err != nil {
		return nil, err
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p linked
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("what go list tells: %w", err)
		}
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		within := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
		if err := addLicenses(all, p.Module.Path+"@"+p.Module.Version, p.Module.Dir, within); err != nil {
			return nil, err
		}
	}
	var files []file
	for name, from := range all {
		files = append(files, file{name, from})
	}
	return files, nil
}

// addLicenses adds those of a module in a directory that are in its root, of which there must be one, and on the way to one
// of its packages.
func addLicenses(all map[string]string, module, root, within string) error {
	for dir := within; ; dir = path.Dir(dir) {
		if dir == "." {
			dir = ""
		}
		entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
		if err != nil {
			return fmt.Errorf("the licence of %s: %w", module, err)
		}
		found := false
		for _, e := range entries {
			if e.Type().IsRegular() && license.MatchString(e.Name()) && !strings.HasSuffix(e.Name(), ".go") {
				found = true
				all[path.Join("share/licenses", module, dir, e.Name())] = filepath.Join(root, filepath.FromSlash(dir), e.Name())
			}
		}
		if dir == "" {
			if !found {
				return fmt.Errorf("%s has no licence in %s: what is linked without one cannot be handed on", module, root)
			}
			return nil
		}
	}
}
