package etcd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/stored"
)

// historyLength is how many claims are kept for people to look at.
const historyLength = 64

// reserved are the first segments of keys that belong to the Store itself.
var reserved = []string{"epoch", "history", "members", "probe"}

// keys names what a cluster has in etcd.
type keys struct{ root string } // ends with a slash

func keysOf(cluster string) keys { return keys{root: "/perennial/" + cluster + "/"} }

func (k keys) epoch() string            { return k.root + "epoch" }
func (k keys) leader() string           { return k.root + "epoch/leader" }
func (k keys) probe() string            { return k.root + "probe" }
func (k keys) members() string          { return k.root + "members/" }
func (k keys) member(id string) string  { return k.members() + id }
func (k keys) value(key string) string  { return k.root + key }
func (k keys) key(inEtcd []byte) string { return strings.TrimPrefix(string(inEtcd), k.root) }

func (k keys) history(e coordination.Epoch) string {
	return k.root + "history/" + strconv.FormatUint(uint64(e), 10)
}

// checkOwn refuses a key or prefix that is the Store's own.
func checkOwn(key string) error {
	if first, _, _ := strings.Cut(key, "/"); slices.Contains(reserved, first) {
		return fmt.Errorf("etcd: key %q: %q is the coordination's own; use another first segment", key, first)
	}
	return nil
}

// record is the value of the epoch key.
type record struct {
	Epoch coordination.Epoch `json:"epoch"`
	ID    string             `json:"id"`
	Nonce string             `json:"nonce"`
	Since time.Time          `json:"since"` // by the claimant's clock; for people
	Data  []byte             `json:"data,omitempty"`
}

func (r record) encode() (string, error) {
	b, err := json.Marshal(r)
	return string(b), err
}

// sighting is an epoch record with the revision that wrote it; the zero value is that of
// a cluster in which nobody has led.
type sighting struct {
	record
	revision int64
}

// errDamaged is no transport error: another try would read the same.
var errDamaged = errors.New("the epoch record is damaged: was it edited by hand?")

// decode reads the value of the epoch key, which may be absent.
func decode(kv *mvccpb.KeyValue) (sighting, error) {
	if kv == nil {
		return sighting{}, nil
	}
	s := sighting{revision: kv.ModRevision}
	switch err := stored.Decode(kv.Value, &s.record); {
	case errors.Is(err, stored.ErrNewer):
		return sighting{}, fmt.Errorf("the epoch record: %w", err)
	case err != nil:
		return sighting{}, fmt.Errorf("%w: %q: %w", errDamaged, kv.Value, err)
	}
	return s, nil
}

func (s sighting) leadership(alive bool) coordination.Leadership {
	return coordination.Leadership{Epoch: s.Epoch, ID: s.ID, Data: s.Data, Nonce: s.Nonce, Alive: alive}
}

// seal puts the nonce of a commit before a value, so that its author recognises it.
func seal(nonce string, value []byte) string { return nonce + "\n" + string(value) }

// unseal is the reverse. The value shares memory with sealed.
func unseal(sealed []byte) (nonce string, value []byte) {
	head, value, _ := bytes.Cut(sealed, []byte("\n"))
	return string(head), value
}

// versionOf is the version of a key that may be absent.
func versionOf(kv *mvccpb.KeyValue) coordination.Version {
	if kv == nil {
		return coordination.NoVersion
	}
	return coordination.Version(kv.ModRevision)
}
