package zksession

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// ErrTooLarge says that a request is larger than what servers accept.
var ErrTooLarge = errors.New("zookeeper: request too large")

// maxRequest is a little less than what a server accepts (jute.maxbuffer) before it ends the session.
const maxRequest = 1_000_000

// AnyVersion, of a Set or a Delete, is for nodes that a Check before it fences.
const AnyVersion = -1

// Op is one step of a Multi.
type Op struct {
	request any
	bytes   int // about, on the wire
}

// fixed is what an op has on the wire beside its path, its data and who may use the node: a header, lengths, a version or flags.
const fixed = 32

// Check requires that the node's data has this version.
func Check(path string, version int32) Op {
	return Op{&zk.CheckVersionRequest{Path: path, Version: version}, fixed + len(path)}
}

// Set replaces the data of a node, which has this version.
func Set(path string, data []byte, version int32) Op {
	return Op{&zk.SetDataRequest{Path: path, Data: data, Version: version}, fixed + len(path) + len(data)}
}

// Create makes a node that is not there yet, below one that is.
func Create(path string, data []byte, acl []zk.ACL) Op {
	return create(&zk.CreateRequest{Path: path, Data: data, Acl: acl})
}

// CreateEphemeral is Create for a node that ends with the session.
func CreateEphemeral(path string, data []byte, acl []zk.ACL) Op {
	return create(&zk.CreateRequest{Path: path, Data: data, Acl: acl, Flags: zk.FlagEphemeral})
}

func create(r *zk.CreateRequest) Op {
	bytes := fixed + len(r.Path) + len(r.Data)
	for _, a := range r.Acl {
		bytes += 12 + len(a.Scheme) + len(a.ID) // permissions and two lengths
	}
	return Op{r, bytes}
}

// Delete removes a node, which has this version and nothing below it.
func Delete(path string, version int32) Op {
	return Op{&zk.DeleteRequest{Path: path, Version: version}, fixed + len(path)}
}

// Refusal is why ZooKeeper refused a Multi: the first op that did not hold.
type Refusal struct {
	Op  int   // from 0
	Err error // zk.ErrBadVersion, zk.ErrNoNode, …
}

func (r *Refusal) Error() string { return fmt.Sprintf("op %d of a multi: %v", r.Op, r.Err) }
func (r *Refusal) Unwrap() error { return r.Err }

// Refused reports whether ZooKeeper refused op i of a Multi for the reason given.
func Refused(err error, i int, reason error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Op == i && errors.Is(r.Err, reason)
}

// Multi has all ops executed, or none, and sends them once. The error is a *Refusal if ZooKeeper refused
// one of them. If Lost says so of it, or ctx or the session has ended, the Multi may have been executed, or
// may yet be. One that is too large is refused with ErrTooLarge, before it would end the session.
func (s *Session) Multi(ctx context.Context, ops ...Op) error {
	total, requests := 0, make([]any, len(ops))
	for i, op := range ops {
		total += op.bytes
		requests[i] = op.request
	}
	if total > maxRequest {
		return fmt.Errorf("%w: a request of %d ops would have %d bytes, at most %d are allowed", ErrTooLarge, len(ops), total, maxRequest)
	}
	_, err := call(ctx, s, func(c *zk.Conn) (struct{}, error) {
		results, err := c.Multi(requests...)
		if err != nil && !Lost(err) {
			for i, r := range results {
				if r.Error != nil {
					return struct{}{}, &Refusal{i, r.Error}
				}
			}
		}
		return struct{}{}, err
	})
	return err
}
