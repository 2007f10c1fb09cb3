package file

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/perennial-io/perennial/internal/output"
)

// Longest names, in bytes: a file system takes 255 for a directory's, and 4096 for a path.
const (
	maxBucket     = 800
	maxBucketPart = 200
)

// bucketDir makes of what a bucket function returned a relative path that stays below, "" for the directory itself. Most
// are one already, and are returned as they are: raw may share the memory of a record.
func bucketDir(raw string) string {
	if isBucketDir(raw) {
		return raw
	}
	raw = cut(raw, maxBucket)
	var parts []string
	for part := range strings.SplitSeq(raw, "/") {
		if part != "" {
			parts = append(parts, cleanPart(part))
		}
	}
	return path.Join(parts...)
}

func isBucketDir(raw string) bool {
	if len(raw) > maxBucketPart || !utf8.ValidString(raw) { // names travel as JSON
		return false
	}
	begin := true // of a part
	for i := range len(raw) {
		switch c := raw[i]; {
		case begin && (c == '/' || c == '.' || c == 'p'), escaped(c): // p: it may be named as a file is
			return false
		default:
			begin = c == '/'
		}
	}
	return !begin || raw == ""
}

func escaped(c byte) bool { return c < ' ' || c == '\\' || c == 0x7f }

func cleanPart(part string) string {
	var b strings.Builder
	_, isFile := output.ParseVisible(part)
	for i, n := 0, 0; i < len(part); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(part[i:])
		if c := part[i]; escaped(c) || r == utf8.RuneError && n == 1 || i == 0 && (c == '.' || isFile) {
			fmt.Fprintf(&b, "%%%02X", c)
			n = 1
		} else {
			b.WriteString(part[i : i+n])
		}
	}
	return cut(b.String(), maxBucketPart)
}

// cut is the beginning of s, at most n bytes of it, in whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
