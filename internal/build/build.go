// Package build tells which build this is. It is a leaf.
package build

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is the release. The control protocol works with one release before and after. Only the linker sets another one,
// of the same tree, for tests of upgrades.
var Version = "0.1.0"

// revision is set by the linker in programs of the distribution, which are the same wherever they are built.
var revision string

// Info is what there is to know of a build.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // of the repository, or "unknown revision"
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

func (i Info) String() string {
	return fmt.Sprintf("perennial %s (%s, %s, %s)", i.Version, i.Revision, i.Go, i.Platform)
}

// Describe tells which build this process is.
func Describe() Info {
	i := Info{Version: Version, Revision: "unknown revision", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if revision != "" {
		i.Revision = revision
	} else if read, ok := debug.ReadBuildInfo(); ok {
		for _, s := range read.Settings {
			if s.Key == "vcs.revision" {
				i.Revision = s.Value
			}
		}
	}
	return i
}
