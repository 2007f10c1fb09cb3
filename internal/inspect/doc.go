// Package inspect is what a process shows of itself to whoever looks for a fault: its log, files that it names, and profiles
// of itself, each by the piece, so that an answer is bounded and nothing is kept for the asker.
//
// It is a leaf, and linked into every job. It shows no file that its caller has not named, and writes nothing but the
// tokens of a Probe. Its only goroutines are those of profiles that are being taken, which Profiles owns, and those of a Probe, which
// Run waits for, but for those that hang in the system.
package inspect

import "time"

// MaxPiece bounds the data of a Piece, in bytes.
const MaxPiece = 128 << 10

// Question asks for a piece of a log or, if Profile is set, of a profile; or, if Probe is set, for what that finds.
type Question struct {
	Profile *Profile `json:"profile,omitempty"`
	Probe   *Probe   `json:"probe,omitempty"`
	// File is a file of an attempt, by its File.Name; "" is the log of the process itself.
	File string `json:"file,omitempty"`
	// Offset is that of the first byte that is wanted. Negative: the last Lines lines are.
	Offset int64 `json:"offset"`
	Lines  int   `json:"lines,omitempty"`
}

// File is a file of an attempt of a job, on the host of a TaskManager.
type File struct {
	Name     string    `json:"name"`   // as a Question says it
	Stream   string    `json:"stream"` // stdout or stderr
	Attempt  int       `json:"attempt"`
	Region   int       `json:"region,omitempty"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// Piece is a part of what was asked for.
type Piece struct {
	Data []byte `json:"data,omitempty"`
	// Offset is that of Data's first byte: the one asked for, or 0 of a file that has become shorter since.
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"` // of the whole, as it is now
	// Pending says that a profile is still being taken: ask again.
	Pending bool   `json:"pending,omitempty"`
	Path    string `json:"path,omitempty"` // of a log, on the host of the process
	// Probed is what a Probe has found.
	Probed *Probed `json:"probed,omitempty"`
}

// Next is the offset behind the piece.
func (p Piece) Next() int64 { return p.Offset + int64(len(p.Data)) }
