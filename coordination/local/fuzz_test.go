package local

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzUnseal: whatever stands beside a key, it is an error, or what seal wrote.
func FuzzUnseal(f *testing.F) {
	f.Add([]byte("k"), sealVersioned([]byte("k"), 7, []byte("value")))
	f.Add([]byte("k"), seal([]byte("k"), []byte("short")))
	f.Add([]byte(""), []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, key, sealed []byte) {
		v, value, err := unsealVersioned(key, sealed)
		if err != nil && !errors.Is(err, errDamaged) {
			t.Errorf("got %v", err)
		}
		if err == nil && !bytes.Equal(sealVersioned(key, v, value), sealed) {
			t.Errorf("%x of %q is read as version %d of %x", sealed, key, v, value)
		}
	})
}
