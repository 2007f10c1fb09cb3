package zookeeper

import (
	"bytes"
	"testing"

	"github.com/go-zookeeper/zk"
)

// What somebody else wrote into a node is an error, never a panic or a wrong epoch.
func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(`{"epoch":-1}`))
	f.Add(record{Epoch: 7, ID: "a\nb", Nonce: "n", Data: []byte("line\nline")}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord("/epoch", node{Data: data, Stat: zk.Stat{Version: 3}})
		if err != nil {
			return
		}
		again, err := decodeRecord("/epoch", node{Data: r.encode(), Stat: zk.Stat{Version: 3}})
		if err != nil {
			t.Fatalf("%q was decoded as %+v, which encodes to %q: %v", data, r, r.encode(), err)
		}
		if again.Epoch != r.Epoch || again.ID != r.ID || again.Nonce != r.Nonce || !bytes.Equal(again.Data, r.Data) || again.version != 3 {
			t.Errorf("%+v came back as %+v", r, again)
		}
	})
}
