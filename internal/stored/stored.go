// Package stored is the rule by which releases read one another's records, in coordination and in storage: JSON that is
// written once by one process and read later by another, of this release, the one before or the one after.
//
// A record of format 1 does not say so. Fields that a reader does not know are ignored, and dropped when it writes the record
// again, so a release that cannot bear that writes a field "format" of 2, and begins to when no process is left that
// knows up to 1 only. Whoever reads a later format than its own refuses the record, and touches it no more.
//
// It is a leaf, does no I/O and starts no goroutine.
package stored

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Format is the latest that this build knows.
const Format = 1

// ErrNewer says that a record is of a format that this build would misread.
var ErrNewer = errors.New("it was written by a newer release of Perennial")

// Check refuses a record of a later format with ErrNewer. What is no record at all is left to Decode.
func Check(value []byte) error {
	var r struct {
		Format int `json:"format"`
	}
	if !bytes.Contains(value, []byte(`"format"`)) || json.Unmarshal(value, &r) != nil || r.Format <= Format {
		return nil
	}
	return fmt.Errorf("%w: it has format %d, and this release knows up to %d. Nothing was changed; use the release that wrote it, or a newer one", ErrNewer, r.Format, Format)
}

// Decode reads a record, unless it is of a later format.
func Decode(value []byte, record any) error {
	if err := Check(value); err != nil {
		return err
	}
	return json.Unmarshal(value, record)
}
