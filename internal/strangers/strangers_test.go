package strangers

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatch(t *testing.T) {
	for name, test := range map[string]struct {
		send     string
		stranger bool
	}{
		"a request":           {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false},
		"a request, then not": {"GET / HTTP/1.1\r\nHost: x\r\n\r\nwhat?\r\n\r\n", false},
		"something else":      {"what?\r\n\r\n", true},
		"half a request":      {"GET / HTTP/1.1\r\nX: ", true},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: 50 * time.Millisecond}
			told, done := make(chan net.Addr, 1), make(chan struct{})
			watched := Watch(server, ln, func(from net.Addr) { told <- from })
			go func() { defer close(done); _ = server.Serve(watched) }()
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, test.send)
			_, _ = io.Copy(io.Discard, c) // until the server closes
			_ = server.Close()
			<-done
			if test.stranger {
				if from := <-told; from.String() != c.LocalAddr().String() {
					t.Errorf("told of %v, want %v", from, c.LocalAddr())
				}
			} else if len(told) > 0 {
				t.Error("told of a client")
			}
			c.Close()
		})
	}
}
