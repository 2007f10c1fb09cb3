package jobmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/metadata"
	"github.com/perennial-io/perennial/internal/storage"
)

// importedKey holds which export the entries came from.
const importedKey = "imported"

const (
	// epochs that an import leaves out, above that of the export: those that others may have claimed since, and
	// TaskManagers may have seen.
	skippedFinal  = 16
	skippedBackup = 1000

	importPause = 50 * time.Millisecond
	batchBytes  = 256 << 10
	batchOps    = 64
)

// takeIn commits what waits in storage to be imported, if anything does, before this process stands for
// election. Several do it at once: who claims first works, and the others wait until it is done, or claim
// in its place. What was left there while the cluster is led here is none: it is said, and this process stands by.
func (jm *JobManager) takeIn(ctx context.Context) error {
	said := false
	for {
		file, err := jm.cfg.Storage.Import(ctx)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = jm.importFile(ctx, file)
		}
		var wrong *WrongClusterError
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errLed):
			if _, gone := jm.cfg.Storage.Import(ctx); !errors.Is(gone, storage.ErrNotFound) { // else the leader has taken it in
				jm.log.Error("metadata that wait in storage are not imported, as this coordination is not empty: delete that file, or no JobManager starts once all have ended",
					"file", jm.importPlace(), "error", err)
			}
			return nil
		case errors.As(err, &wrong):
			return err
		case !said:
			said = true
			jm.log.Warn("metadata wait in storage to be imported; it is tried again", "error", err)
		}
		if pause(ctx, importPause); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// errLed says that the cluster whose metadata wait lives where they would go.
var errLed = errors.New("this cluster is led")

func (jm *JobManager) importPlace() string { return jm.cfg.Storage.Dir() + "/cluster/import" }

// leads asks the JobManager that claimed last whether it leads, so that it does not import itself.
func (jm *JobManager) leads(ctx context.Context, l coordination.Leadership, cluster string) bool {
	var other api.JobManager
	if json.Unmarshal(l.Data, &other) != nil {
		return false
	}
	raw, err := jm.cfg.dial(ctx, other.Address, jm.cfg.heartbeatTimeout())
	if err != nil {
		return false
	}
	defer raw.Close()
	h, greeting, _, err := jm.detector.hello(raw)
	return err == nil && greeting.Lead && greeting.ID == l.ID && h.Cluster == cluster
}

// importFile imports over a session of its own. Other errors than *WrongClusterError may pass.
func (jm *JobManager) importFile(ctx context.Context, file []byte) error {
	wrong := func(format string, args ...any) error {
		return &WrongClusterError{"metadata wait in storage to be imported, at " + jm.importPlace() + ", and cannot be: " + fmt.Sprintf(format, args...) + ". Delete that file to go on without it"}
	}
	header, entries, err := metadata.Read(file)
	if err != nil {
		return wrong("%v", err)
	}
	own, err := jm.cfg.Storage.Incarnation(ctx)
	if err != nil {
		return err
	}
	if own != header.Incarnation {
		return wrong("they are of cluster %s, and storage.dir is of cluster %s", header.Incarnation, own)
	}
	store, err := jm.cfg.Open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() // what is committed stays
	least := header.Epoch + skippedBackup
	if header.Final {
		least = header.Epoch + skippedFinal
	}
	served, err := jm.cfg.Storage.Served(ctx)
	if err != nil {
		return err
	}
	least = max(least, coordination.Epoch(served)+1)
	term, err := jm.claimFrom(ctx, store, least, own)
	if err != nil {
		return err
	}
	sum := metadata.Sum(file)
	switch done, err := importedFrom(ctx, term); {
	case err != nil:
		return err
	case done == "":
		if err := commitImport(ctx, term, header, entries, sum); err != nil {
			return err
		}
		jm.log.Info("imported the cluster's metadata", "entries", len(entries), "from-epoch", header.Epoch, "epoch", term.Epoch())
	case done != sum:
		return wrong("this coordination is not empty: it holds the cluster that %s", done)
	}
	if err := jm.cfg.Storage.DeleteImport(ctx); err != nil {
		return err
	}
	return term.Resign(ctx)
}

// claimFrom claims one epoch after the other, as epochs grow by one (I1), until it holds least or a higher one,
// or finds that the place is not empty.
func (jm *JobManager) claimFrom(ctx context.Context, store coordination.Store, least coordination.Epoch, cluster string) (term coordination.Term, err error) {
	c := coordination.Candidate{ID: jm.cfg.ID, Data: jm.describe()}
	for first := true; ; first = false {
		over, err := store.Leader(ctx)
		if err != nil {
			return nil, err
		}
		if over.Alive && over.ID != jm.cfg.ID {
			if jm.leads(ctx, over, cluster) {
				return nil, fmt.Errorf("%w by JobManager %s, under epoch %d", errLed, over.ID, over.Epoch)
			}
			return nil, fmt.Errorf("JobManager %s claims there at the moment", over.ID)
		}
		if term, err = store.Claim(ctx, over, c, coordination.NewNonce()); err != nil || term.Epoch() >= least {
			return term, err
		}
		if first {
			if held, err := importedFrom(ctx, term); err != nil || held != "" {
				return term, err
			}
		}
	}
}

// importedFrom tells what a coordination that is not empty holds: the sum of the export that it came from, or
// in words what else. A place without an incarnation is empty, as that is committed last.
func importedFrom(ctx context.Context, term coordination.Term) (string, error) {
	_, err := term.Get(ctx, incarnationKey)
	if errors.Is(err, coordination.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	e, err := term.Get(ctx, importedKey)
	if errors.Is(err, coordination.ErrNotFound) {
		return "was first led here", nil
	}
	return string(e.Value), err
}

// commitImport commits the entries, the incarnation last. What an importer that died has committed is made the same.
func commitImport(ctx context.Context, term coordination.Term, h metadata.Header, entries []metadata.Entry, sum string) error {
	ops, err := changes(ctx, term, entries)
	if err != nil {
		return err
	}
	for len(ops) > 0 {
		n, size := 1, len(ops[0].Value)
		for ; n < min(len(ops), batchOps) && size+len(ops[n].Value) <= batchBytes; n++ {
			size += len(ops[n].Value)
		}
		if _, err := term.Commit(ctx, ops[:n]...); err != nil {
			return err
		}
		ops = ops[n:]
	}
	_, err = term.Commit(ctx, coordination.Create(importedKey, []byte(sum)), coordination.Create(incarnationKey, []byte(h.Incarnation)))
	return err
}

// changes are what makes the entries all that there is.
func changes(ctx context.Context, term coordination.Term, entries []metadata.Entry) (ops []coordination.Op, err error) {
	there := map[string]coordination.Entry{}
	list, err := readExported(ctx, term)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		there[e.Key] = e
	}
	for _, e := range entries {
		is, ok := there[e.Key]
		switch {
		case !ok:
			ops = append(ops, coordination.Create(e.Key, e.Value))
		case !bytes.Equal(is.Value, e.Value):
			ops = append(ops, coordination.Set(e.Key, e.Value, is.Version))
		}
		delete(there, e.Key)
	}
	for key, e := range there {
		ops = append(ops, coordination.Delete(key, e.Version))
	}
	return ops, nil
}
