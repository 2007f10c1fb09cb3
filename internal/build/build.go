// Package build tells which build this is. It is a leaf.
package build

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version is the release. The control protocol works with one minor version before and after.
const Version = "0.1.0"

// String is the version with what it was built from and by.
func String() string {
	revision := "unknown revision"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return fmt.Sprintf("perennial %s (%s, %s, %s/%s)", Version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
