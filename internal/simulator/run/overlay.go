package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// patch replaces a piece of a file of the standard library, which must be there once.
type patch struct{ file, old, new string }

// patches make a runtime in which a bubble of testing/synctest draws from a source of its own, that begins the same each time.
// Elsewhere all is as it was, but that the process begins with the same seed, and that nobody takes a CPU from who has it: so a system call
// keeps it, too.
var patches = []patch{
	{"runtime/synctest.go", "	active  int // other sources of activity\n}", `	active  int // other sources of activity

	rand  uint64                // of the simulator: all that goroutines of the bubble draw
	jumps [8]simulatorClockJump // likewise: of wall clocks
}

// simulatorClockJump is how much later the wall clock of goroutines with these labels is.
type simulatorClockJump struct {
	labels unsafe.Pointer
	by     int64
}

// next draws a number.
//
//go:nosplit
func (bubble *synctestBubble) next() uint64 {
	bubble.rand += 0xa0761d6478bd642f
	x := bubble.rand
	x ^= x >> 32
	x *= 0xe7037ed1a0b428db
	x ^= x >> 29
	x *= 0x8ebc6af09c88c6e3
	return x ^ x>>32
}

// simulatorRand is cheaprand for what must be the same in each run of a bubble.
//
//go:nosplit
func simulatorRand() uint32 {
	if gp := getg().m.curg; gp != nil && gp.bubble != nil {
		return uint32(gp.bubble.next())
	}
	return cheaprand()
}

//go:linkname simulatorLabels
func simulatorLabels() unsafe.Pointer { return getg().labels }

//go:linkname simulatorJump
func simulatorJump(labels unsafe.Pointer, by int64) {
	bubble := getg().bubble
	for pass := range 2 {
		for i := range bubble.jumps {
			j := &bubble.jumps[i]
			if j.labels == labels || pass == 1 && j.labels == nil {
				j.labels, j.by = labels, by
				if by == 0 {
					j.labels = nil
				}
				return
			}
		}
	}
}

// wall is the wall clock of the calling goroutine.
func (bubble *synctestBubble) wall() int64 {
	labels := getg().labels
	for i := range bubble.jumps {
		if j := &bubble.jumps[i]; j.labels == labels && labels != nil {
			return bubble.now + j.by
		}
	}
	return bubble.now
}`},
	{"runtime/rand.go", "func rand() uint64 {\n", `func rand() uint64 {
	if gp := getg().m.curg; gp != nil && gp.bubble != nil {
		return gp.bubble.next()
	}
`},
	{"runtime/rand.go", "	globalRand.state.Init(*seed)\n", "	clear(seed[:])\n	seed[0] = 1\n	globalRand.state.Init(*seed)\n"},
	{"runtime/select.go", "cheaprandn(uint32(norder + 1))", "uint32(uint64(simulatorRand()) * uint64(norder+1) >> 32)"},
	{"runtime/time.go", "t.rand = cheaprand()", "t.rand = simulatorRand()"},
	{"runtime/time.go", `		sec = bubble.now / (1000 * 1000 * 1000)
		nsec = int32(bubble.now % (1000 * 1000 * 1000))
`, `		wall := bubble.wall()
		sec = wall / (1000 * 1000 * 1000)
		nsec = int32(wall % (1000 * 1000 * 1000))
`},
	{"runtime/time.go", "		return sec, nsec, 0\n", "		return sec, nsec, bubble.now\n"},
	{"runtime/proc.go", "func retake(now int64) uint32 {\n", "func retake(now int64) uint32 {\n	if true {\n		return 0\n	}\n"},
}

// writeOverlay writes the patched files, and what go build's -overlay wants to know of them.
func writeOverlay(src, dir string) (string, error) {
	files := map[string]string{}
	for _, p := range patches {
		if files[p.file] == "" {
			b, err := os.ReadFile(filepath.Join(src, p.file))
			if err != nil {
				return "", err
			}
			files[p.file] = string(b)
		}
		if n := strings.Count(files[p.file], p.old); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, expected once: this Go release is not the one that internal/simulator/run/overlay.go is made for", p.file, p.old, n)
		}
		files[p.file] = strings.Replace(files[p.file], p.old, p.new, 1)
	}
	replace := map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(src, name)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o644)
}
