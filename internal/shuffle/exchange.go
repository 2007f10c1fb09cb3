package shuffle

import (
	"context"
	"log/slog"
	"net"

	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/record"
)

// Channel names a channel between two subtasks of one attempt of a job.
type Channel struct {
	Job     job.ID
	Edge    int // index in job.Graph.Edges
	From    int // the producer's subtask index
	To      int // the consumer's
	Attempt job.Attempt
}

// Config is what an Exchange is told.
type Config struct {
	Job     job.ID
	Attempt job.Attempt
	// Dial opens a connection to a data address. nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	Log  *slog.Logger // nil: slog.Default()
}

// Exchange has all data connections of a task process.
type Exchange struct{ cfg Config }

// NewExchange returns an exchange without a connection.
func NewExchange(cfg Config) *Exchange { return &Exchange{cfg: cfg} }

// Accept takes over a connection whose preamble has been read.
func (x *Exchange) Accept(c net.Conn) { c.Close() }

// Drain waits until every consumer has what was sent to it.
func (x *Exchange) Drain(ctx context.Context) error { return nil }

// Close ends every connection and waits for the goroutines.
func (x *Exchange) Close() {}

// RemoteOutput is a channel to a gate of another process.
func RemoteOutput[T any](x *Exchange, ch Channel, peer string, codec *record.Codec[T]) (Output[T], error) {
	return nil, net.UnknownNetworkError("remote channels do not exist yet")
}

// BindInput makes a gate's channel the receiving end of ch.
func BindInput[T any](x *Exchange, ch Channel, g *Gate[T], channel int) {}

type frame struct{ free func() }

type received struct{ payload []byte }

func (r *received) release() {}
