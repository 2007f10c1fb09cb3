// Package metadata is the file in which all that coordination holds of a cluster travels from one
// coordination to another, or is kept. It is a leaf, does no I/O, and starts no goroutine.
//
// The file is text, a JSON object a line: a Header, one entry for each key, and a last line with the
// number of entries and the SHA-256 of all lines before it. Job binaries, checkpoints and what else
// is in storage is not in it.
package metadata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/perennial-io/perennial/coordination"
)

const (
	format = "perennial-metadata"
	// Version is that of the files written here. Files of a higher one are refused.
	Version = 1
)

// Errors of Read.
var (
	ErrDamaged = errors.New("the file is damaged")
	ErrNewer   = errors.New("the file was written by a newer release")
	ErrNoFile  = errors.New("the file is no export of a cluster's metadata")
)

// Header says what was exported.
type Header struct {
	Format      string             `json:"format"`
	Version     int                `json:"version"`
	Release     string             `json:"release"`     // that wrote it
	Incarnation string             `json:"incarnation"` // of the cluster, and of its storage
	Epoch       coordination.Epoch `json:"epoch"`       // in force when it was read
	Taken       time.Time          `json:"taken"`
	// Final says that nobody leads the cluster there after it: else it went on, and this is a backup.
	Final bool `json:"final"`
	// JobManagers are the REST addresses of those that knew each other then.
	JobManagers []string `json:"jobmanagers,omitempty"`
}

// Entry is a key with its value.
type Entry struct {
	Key   string
	Value []byte
}

// line is an entry in the file. A value that is no text is in base 64.
type line struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Base64 []byte `json:"base64,omitempty"`
}

// trailer is the last line.
type trailer struct {
	Entries int    `json:"entries"`
	SHA256  string `json:"sha256"`
}

// Write makes a file. Format and Version of the header are set here.
func Write(h Header, entries []Entry) ([]byte, error) {
	h.Format, h.Version = format, Version
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	if err := out.Encode(h); err != nil {
		return nil, fmt.Errorf("encode the header: %w", err)
	}
	for _, e := range entries {
		l := line{Key: e.Key, Value: string(e.Value)}
		if !utf8.Valid(e.Value) {
			l = line{Key: e.Key, Base64: e.Value}
		}
		if err := out.Encode(l); err != nil {
			return nil, fmt.Errorf("encode %s: %w", e.Key, err)
		}
	}
	if err := out.Encode(trailer{len(entries), Sum(b.Bytes())}); err != nil {
		return nil, fmt.Errorf("encode the checksum: %w", err)
	}
	return b.Bytes(), nil
}

// Sum names the content of a file.
func Sum(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// Read reverses Write. It refuses, and says why, what is no such file (ErrNoFile), what another release
// writes (ErrNewer), and what is not whole or was changed (ErrDamaged).
func Read(file []byte) (h Header, entries []Entry, err error) {
	first, rest, _ := bytes.Cut(file, []byte("\n"))
	switch err := json.Unmarshal(first, &h); {
	case err != nil || h.Format != format:
		return h, nil, fmt.Errorf("%w: its first line does not say %q", ErrNoFile, format)
	case h.Version > Version:
		return h, nil, fmt.Errorf("%w, %s: it has version %d of the format, and this release, which reads up to %d, would misread it", ErrNewer, h.Release, h.Version, Version)
	}
	body, last := cutLast(rest)
	var t trailer
	if json.Unmarshal(last, &t) != nil || t.SHA256 == "" {
		return h, nil, fmt.Errorf("%w: its end, with the checksum, is missing", ErrDamaged)
	}
	if got := Sum(file[:len(first)+1+len(body)]); got != t.SHA256 {
		return h, nil, fmt.Errorf("%w: its checksum is %s, and should be %s", ErrDamaged, got, t.SHA256)
	}
	for in := json.NewDecoder(bytes.NewReader(body)); in.More(); {
		var l line
		if err := in.Decode(&l); err != nil {
			return h, nil, fmt.Errorf("%w: entry %d: %w", ErrDamaged, len(entries)+1, err)
		}
		e := Entry{Key: l.Key, Value: []byte(l.Value)}
		if l.Base64 != nil {
			e.Value = l.Base64
		}
		if err := coordination.CheckKey(e.Key); err != nil {
			return h, nil, fmt.Errorf("%w: entry %d: %w", ErrDamaged, len(entries)+1, err)
		}
		entries = append(entries, e)
	}
	if len(entries) != t.Entries || h.Incarnation == "" || h.Epoch == 0 {
		return h, nil, fmt.Errorf("%w: %d entries of %d, of cluster %q, epoch %d", ErrDamaged, len(entries), t.Entries, h.Incarnation, h.Epoch)
	}
	return h, entries, nil
}

// cutLast separates the last line.
func cutLast(b []byte) (before, last []byte) {
	end := bytes.TrimSuffix(b, []byte("\n"))
	i := bytes.LastIndexByte(end, '\n') + 1
	return b[:i], end[i:]
}
