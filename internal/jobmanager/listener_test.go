package jobmanager

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// TestStrangers: a connection that only looks whether the port is there is nothing to warn of, and one of another protocol is.
func TestStrangers(t *testing.T) {
	for said, warned := range map[string]bool{"": false, "PRN": true, "GET / HTTP/1.1\r\n\r\n": true} {
		var out bytes.Buffer
		jm := &JobManager{log: slog.New(slog.NewTextHandler(&out, nil))}
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			jm.receive(t.Context(), ours, func() {})
		}()
		_, _ = theirs.Write([]byte(said)) // the other side may have had enough
		theirs.Close()
		<-done
		if strings.Contains(out.String(), "level=WARN") != warned {
			t.Errorf("%q: %s", said, &out)
		}
	}
}
