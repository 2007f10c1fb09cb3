package etcd_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/perennial-io/perennial/coordination/etcd"
)

// TestRedialsOften: after an outage of any length etcd is found again within a moment. The
// library's own pause grows to two minutes, in which TaskManagers would not learn where
// JobManagers that were restarted are.
func TestRedialsOften(t *testing.T) {
	t.Parallel()
	const window = 2 * time.Second
	var dials atomic.Int32
	ctx, cancel := context.WithTimeout(t.Context(), window)
	defer cancel()
	_, err := etcd.Open(ctx, etcd.Config{
		Endpoints: []string{"127.0.0.1:1"}, Cluster: "c",
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("refused")
		})},
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open: %v, want the deadline", err)
	}
	if n := dials.Load(); n < 5 || n > 50 {
		t.Errorf("dialed %d times in %v, want once in some 250 ms", n, window)
	}
}
