package zookeeper

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
)

// TestBrokenHandshake: a server that goes away in the middle of a handshake is tried again; one that cannot be trusted is not.
func TestBrokenHandshake(t *testing.T) {
	key := filepath.Join(t.TempDir(), "none")
	for name, test := range map[string]struct {
		cfg    TLS
		answer string // then the server is gone
		final  bool
	}{
		"at once":          {TLS{}, "", false},
		"in a header":      {TLS{}, "\x16\x03", false},
		"in a record":      {TLS{}, "\x16\x03\x03\x00\x50\x02\x00", false},
		"it speaks no TLS": {TLS{}, "Are you ok? imok", true},
		"no such files":    {TLS{Certificate: key, Key: key}, "", true},
	} {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = theirs.Read(make([]byte, 4096))
			_, _ = theirs.Write([]byte(test.answer))
			theirs.Close()
		}()
		_, err := test.cfg.client(t.Context(), ours, "zk:2181", "zk")
		ours.Close()
		if _, final := errors.AsType[*tlsError](err); err == nil || final != test.final {
			t.Errorf("%s: %v, final %t, want %t", name, err, final, test.final)
		}
	}
}
