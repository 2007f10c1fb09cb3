//go:build race

package disk

// raceDetector: its shadow of the memory is several times as large, and is the process's too.
const raceDetector = true
