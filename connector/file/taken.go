package file

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// taken is which files Watch has taken: those of these names, and all that were modified before a moment.
type taken struct {
	names  map[string]int64 // by path: when it was modified, as time.Time.UnixNano
	before int64            // likewise
}

func (t *taken) has(path string) bool {
	_, ok := t.names[path]
	return ok
}

// touch notes that a file which was taken has been modified since: it is as old as that.
func (t *taken) touch(path string, modified int64) {
	t.names[path] = max(t.names[path], modified)
}

// add takes files and, unless forget is 0, forgets the names of those that are so much older than the newest, and returns
// them.
func (t *taken) add(fresh map[string]int64, forget time.Duration) (forgotten []string) {
	maps.Copy(t.names, fresh)
	if forget == 0 || len(fresh) == 0 {
		return nil
	}
	now := time.Now().UnixNano() // a file of the future is no reason to pass over those of the present
	for _, modified := range fresh {
		t.before = max(t.before, min(modified, now)-int64(forget))
	}
	maps.DeleteFunc(t.names, func(path string, modified int64) bool {
		if modified >= t.before {
			return false
		}
		forgotten = append(forgotten, path)
		return true
	})
	return forgotten
}

// takenVersion is the first byte of a state.
const takenVersion = 1

// encode returns the version, the moment, and each name, in order, with its time.
func (t *taken) encode() []byte {
	data := binary.AppendVarint([]byte{takenVersion}, t.before)
	for _, path := range slices.Sorted(maps.Keys(t.names)) {
		data = binary.AppendUvarint(data, uint64(len(path)))
		data = append(data, path...)
		data = binary.AppendVarint(data, t.names[path])
	}
	return data
}

var errMalformedTaken = errors.New("malformed list of the files that were taken")

// decodeTaken reads what encode wrote; no data is an empty one.
func decodeTaken(data []byte) (taken, error) {
	t := taken{names: map[string]int64{}}
	if len(data) == 0 {
		return t, nil
	}
	if data[0] != takenVersion {
		return t, errMalformedTaken
	}
	var n int
	if t.before, n = binary.Varint(data[1:]); n <= 0 {
		return t, errMalformedTaken
	}
	for data = data[1+n:]; len(data) > 0; {
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return t, errMalformedTaken
		}
		path := string(data[n : n+int(length)])
		data = data[n+int(length):]
		modified, n := binary.Varint(data)
		if n <= 0 {
			return t, errMalformedTaken
		}
		data = data[n:]
		t.names[path] = modified
	}
	return t, nil
}
