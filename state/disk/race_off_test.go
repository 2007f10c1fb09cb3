//go:build !race

package disk

// raceDetector says that the tests were built with it.
const raceDetector = false
