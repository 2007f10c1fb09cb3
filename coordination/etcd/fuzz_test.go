package etcd

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// FuzzRecord: whatever stands under the epoch key, it is errDamaged or a record that is written as it was read.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"epoch":3,"id":"jm-a","nonce":"n","since":"2026-11-25T00:00:00Z","data":"AA=="}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"epoch":-1}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := decode(&mvccpb.KeyValue{Value: value})
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Errorf("got %v", err)
			}
			return
		}
		text, err := s.encode()
		if err != nil {
			return // a year that has no RFC 3339
		}
		again, err := decode(&mvccpb.KeyValue{Value: []byte(text)})
		if err != nil || again.leadership(true).ID != s.leadership(true).ID || again.Epoch != s.Epoch {
			t.Errorf("%+v came back as %+v, %v", s, again, err)
		}
	})
}
