package etcd

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/stored"
)

func TestSeal(t *testing.T) {
	for _, value := range []string{"", "v", "two\nlines", "\n", "\x00\xff"} {
		nonce, got := unseal([]byte(seal("N1", []byte(value))))
		if nonce != "N1" || !bytes.Equal(got, []byte(value)) {
			t.Errorf("%q came back as %q of %q", value, got, nonce)
		}
	}
	if nonce, value := unseal([]byte("written by hand")); nonce == "" || len(value) != 0 {
		t.Errorf("a value without an envelope: nonce %q, value %q", nonce, value)
	}
}

func TestReservedKeys(t *testing.T) {
	for key, own := range map[string]bool{
		"jobs/1/intent": false, "epochs": false, "incarnation": false, "jobs/epoch": false,
		"epoch": true, "epoch/leader": true, "history/1": true, "members/a": true, "probe": true,
	} {
		if err := checkOwn(key); (err != nil) != own {
			t.Errorf("%s: error %v, want one: %v", key, err, own)
		}
	}
}

func TestDecodeEpoch(t *testing.T) {
	if s, err := decode(nil); err != nil || s.Epoch != 0 || s.revision != 0 {
		t.Errorf("no epoch key: %+v, %v", s, err)
	}
	value, err := record{Epoch: 7, ID: "a", Nonce: "n", Data: []byte{0, 1}}.encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := decode(&mvccpb.KeyValue{Value: []byte(value), ModRevision: 9})
	if err != nil || s.Epoch != 7 || s.ID != "a" || s.Nonce != "n" || !bytes.Equal(s.Data, []byte{0, 1}) || s.revision != 9 {
		t.Errorf("%s: %+v, %v", value, s, err)
	}
	if _, err := decode(&mvccpb.KeyValue{Value: []byte(`{"format":2,"epoch":"8th"}`)}); !errors.Is(err, stored.ErrNewer) {
		t.Errorf("a record of a later format: %v", err)
	}
	if _, err := decode(&mvccpb.KeyValue{Value: []byte("7")}); err == nil || !strings.Contains(err.Error(), "edited by hand") {
		t.Errorf("a damaged record: %v", err)
	}
}

func TestIsRejected(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{rpctypes.ErrNoSpace, true},
		{rpctypes.ErrPermissionDenied, true},
		{rpctypes.ErrTooManyOps, true},
		{status.Error(codes.InvalidArgument, "x"), true},
		{rpctypes.ErrTooManyRequests, false}, // as ErrNoSpace, a matter of resources, but one that passes
		{rpctypes.ErrNoLeader, false},
		{rpctypes.ErrLeaderChanged, false},
		{rpctypes.ErrTimeoutDueToLeaderFail, false},
		{status.Error(codes.Unavailable, "connection refused"), false},
		{coordination.ErrConflict, false},
	} {
		if got := isRejected(test.err); got != test.want {
			t.Errorf("isRejected(%v) is %v", test.err, got)
		}
	}
}
