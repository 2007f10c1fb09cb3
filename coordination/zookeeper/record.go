package zookeeper

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/perennial-io/perennial/coordination"
)

// record is what the epoch node holds: a line of JSON, and the leader's data as it is. An
// empty node is that of a cluster that nobody has led.
type record struct {
	Epoch coordination.Epoch `json:"epoch"`
	ID    string             `json:"id"`
	Nonce string             `json:"nonce"`
	Data  []byte             `json:"-"`

	version int32 // of the node, which a multi checks
}

func (r record) encode() []byte { return append(append(r.header(), '\n'), r.Data...) }

// header is the record without the leader's data, as the history keeps it.
func (r record) header() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("zookeeper: an epoch record that is no JSON: " + err.Error()) // strings and a number
	}
	return text
}

// sign is what the leader's node says, for those who look: its being there is what counts.
func (r record) sign() []byte {
	return fmt.Appendf(nil, "epoch %d %s", r.Epoch, r.ID)
}

func decodeRecord(path string, n node) (record, error) {
	r := record{version: n.Stat.Version}
	if len(n.Data) == 0 {
		return r, nil
	}
	header, data, _ := bytes.Cut(n.Data, []byte{'\n'})
	r.Data = data
	if err := json.Unmarshal(header, &r); err != nil {
		return record{}, fmt.Errorf("zookeeper: %s holds no epoch record (%q): %w", path, clipped(n.Data), err)
	}
	return r, nil
}

// clipped keeps error messages short.
func clipped(data []byte) []byte { return data[:min(len(data), 80)] }

func (r record) leadership(alive bool) coordination.Leadership {
	return coordination.Leadership{Epoch: r.Epoch, ID: r.ID, Data: r.Data, Nonce: r.Nonce, Alive: alive}
}

// isNews tells whether observers who were told a are to be told b. An older epoch comes late,
// from a server that has not caught up with this process's own claim.
func isNews(a, b coordination.Leadership) bool {
	return b.Epoch > a.Epoch || b.Epoch == a.Epoch && (a.Nonce != b.Nonce || a.Alive != b.Alive)
}
