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

// What lies in a cluster's node is a format that this build knows, or refused; and what it writes itself it knows.
func FuzzFormat(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(`{"format":0}`))
	f.Add([]byte(`{"format":99,"by":"perennial 9"}`))
	f.Add(ownFormat().encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		known, ok := decodeFormat(data)
		if err := checkFormat("/perennial", data); (err == nil) != (ok && known.Format <= currentFormat) {
			t.Errorf("%q is taken for %+v, %t: %v", data, known, ok, err)
		}
		if ok && len(data) > 0 {
			if again, ok := decodeFormat(known.encode()); !ok || again != known {
				t.Errorf("%+v came back as %+v, %t", known, again, ok)
			}
		}
	})
}
