package zookeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination"
)

func check(path string, version int32) any {
	return &zk.CheckVersionRequest{Path: path, Version: version}
}

func set(path string, data []byte, version int32) any {
	return &zk.SetDataRequest{Path: path, Data: data, Version: version}
}

func (s *store) create(path string, data []byte) any {
	return &zk.CreateRequest{Path: path, Data: data, Acl: s.access.own()}
}

func (s *store) createEphemeral(path string, data []byte) any {
	return &zk.CreateRequest{Path: path, Data: data, Acl: s.access.own(), Flags: zk.FlagEphemeral}
}

// anyVersion, of a delete, is for nodes that a check before it fences.
const anyVersion = -1

func remove(path string, version int32) any {
	return &zk.DeleteRequest{Path: path, Version: version}
}

// refusal is why ZooKeeper refused a multi: the first op that did not hold.
type refusal struct {
	op  int
	err error // zk.ErrBadVersion, zk.ErrNoNode, …
}

func (r *refusal) Error() string { return fmt.Sprintf("op %d of a multi: %v", r.op, r.err) }
func (r *refusal) Unwrap() error { return r.err }

// maxRequest is a little less than what a server accepts (jute.maxbuffer) before it ends the session.
const maxRequest = 1_000_000

// size is about how many bytes an op has on the wire.
func size(op any) int {
	const fixed = 64 // header, version, access control
	switch op := op.(type) {
	case *zk.CreateRequest:
		return fixed + len(op.Path) + len(op.Data)
	case *zk.SetDataRequest:
		return fixed + len(op.Path) + len(op.Data)
	case *zk.CheckVersionRequest:
		return fixed + len(op.Path)
	case *zk.DeleteRequest:
		return fixed + len(op.Path)
	}
	return fixed
}

// multi sends ops once. The error is a *refusal if ZooKeeper refused one of them; if lost
// says so of it, or ctx or the session has ended, the multi may have been executed, or may yet be.
func (s *session) multi(ctx context.Context, ops ...any) error {
	total := 0
	for _, op := range ops {
		total += size(op)
	}
	if total > maxRequest {
		return fmt.Errorf("%w: a request of %d ops would have %d bytes, at most %d are allowed", coordination.ErrTooLarge, len(ops), total, maxRequest)
	}
	_, err := call(ctx, s, func(c *zk.Conn) (struct{}, error) {
		results, err := c.Multi(ops...)
		if err != nil && !lost(err) {
			for i, r := range results {
				if r.Error != nil {
					return struct{}{}, &refusal{i, r.Error}
				}
			}
		}
		return struct{}{}, err
	})
	return err
}

// refused reports whether ZooKeeper refused op i of a multi for the reason given.
func refused(err error, i int, reason error) bool {
	var r *refusal
	return errors.As(err, &r) && r.op == i && errors.Is(r.err, reason)
}
