package jobmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/jobmanager/execution"
	"github.com/perennial-io/perennial/internal/storage"
	"github.com/perennial-io/perennial/internal/stored"
)

// garbageKey holds what of storage no job refers to.
const garbageKey = "garbage"

const (
	garbageGrace    = time.Hour        // nobody has referred to, uploaded or asked for what is removed, for so long
	garbageInterval = 10 * time.Minute // between two looks
	garbageMost     = 200              // names that are known to be garbage at once: they are one value, which takeovers read
)

// garbage finds and removes job binaries and plans that no job refers to. Their names are their hashes, so a name may be
// wanted again, and is given three states: unreferenced since a time, in which any use saves it; being removed, which is committed before
// anything is (R13), and in which it is refused; and unknown again, an interval after it is gone, when no leader that was
// replaced meanwhile can still be about to remove it.
//
// Its goroutine is keepHouse's. The mutex is for those who use names meanwhile.
type garbage struct {
	*leader
	grace   time.Duration
	version coordination.Version

	mu    sync.Mutex
	names map[string]unreferenced
	used  map[string]time.Time // by this leader: a binary that was just uploaded, a plan that is about to be committed
}

// unreferenced is what is committed of a name.
type unreferenced struct {
	Since    time.Time `json:"since"`
	Removing bool      `json:"removing,omitempty"`
}

func newGarbage(l *leader) *garbage {
	return &garbage{leader: l, grace: garbageGrace, version: coordination.NoVersion, names: map[string]unreferenced{}, used: map[string]time.Time{}}
}

// load reads what leaders before have found.
func (g *garbage) load() error {
	e, err := g.term.Get(g.ctx, garbageKey)
	if errors.Is(err, coordination.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what can be removed from storage: %w", err)
	}
	g.version = e.Version
	switch err := stored.Decode(e.Value, &g.names); {
	case errors.Is(err, stored.ErrNewer):
		return fmt.Errorf("read %s: %w", garbageKey, err)
	case err != nil:
		g.log.Error("what was found to be of no use in storage cannot be read; it is looked for anew", "error", err)
		g.names = map[string]unreferenced{}
	}
	return nil
}

// use saves a name from being removed for a while, or says that it is too late.
func (g *garbage) use(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.refused(name); err != nil {
		return err
	}
	g.used[name] = time.Now()
	return nil
}

// removing says that a name is being removed, or nil.
func (g *garbage) removing(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused(name)
}

func (g *garbage) refused(name string) error {
	if g.names[name].Removing {
		return &api.Error{Code: api.Unavailable, Message: fmt.Sprintf(
			"%s was of use to no job for long, and is being removed from storage; it can be stored again within %v", name, 2*garbageInterval)}
	}
	return nil
}

// collect takes a look: it commits what is unreferenced, and removes what has been for long.
func (g *garbage) collect(ctx context.Context) error {
	if g.jobs.anyUnreadable() {
		return nil // what it refers to is not known
	}
	stored, err := g.cfg.Storage.ListShared(ctx)
	if err != nil {
		g.log.Warn("storage cannot be looked at for what no job needs", "error", err)
		return nil
	}
	before, now := g.sort(stored, g.references(), time.Now())
	if !maps.Equal(before, now) {
		if err := g.commit(ctx, now); err != nil {
			return fmt.Errorf("commit what is to be removed from storage: %w", err)
		}
	}
	for _, name := range stored {
		if !now[name].Removing {
			continue
		}
		if err := g.checks.Current(ctx); err != nil {
			return nil //nolint:nilerr // the term ends, or the next look goes on
		}
		if err := g.cfg.Storage.DeleteShared(ctx, name); err != nil {
			g.log.Warn("what no job needs stays in storage; it is tried again", "name", name, "error", err)
			continue
		}
		g.log.Info("removed what no job needs from storage", "name", name)
	}
	return nil
}

// sort finds the next state of each name, and puts it in force for those who use names.
func (g *garbage) sort(stored []string, refers map[string]bool, at time.Time) (before, now map[string]unreferenced) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now = map[string]unreferenced{}
	for _, name := range stored {
		known, is := g.names[name]
		used, was := g.used[name]
		switch {
		case is && known.Removing:
			now[name] = known
		case refers[name], was && at.Sub(used) < g.grace, !is && len(now) >= garbageMost:
		case !is:
			now[name] = unreferenced{Since: at.UTC()}
		default:
			known.Removing = at.Sub(known.Since) >= g.grace && at.Sub(g.since) >= g.grace // else uses may have been another leader's
			now[name] = known
		}
	}
	before, g.names = g.names, now
	maps.DeleteFunc(g.used, func(_ string, used time.Time) bool { return at.Sub(used) >= g.grace })
	return before, now
}

func (g *garbage) commit(ctx context.Context, names map[string]unreferenced) error {
	value, err := json.Marshal(names)
	if err != nil {
		return err
	}
	versions, err := g.term.Commit(ctx, put(garbageKey, value, g.version))
	if err == nil {
		g.version = versions[0]
	}
	return err
}

// references are the names that jobs refer to, those that are about to be committed included.
func (g *garbage) references() map[string]bool {
	names := map[string]bool{}
	for _, o := range g.jobs.all() {
		in := &o.written.Load().intent
		names[storage.ArtifactName(in.Spec.Artifact)] = true
		names[storage.ArtifactName(in.Present().Artifact)] = true
		names[storage.GraphName(in.GraphHash)] = true
		for _, r := range in.Requests.Requests {
			referTo(names, &r)
		}
	}
	return names
}

func referTo(names map[string]bool, r *execution.Request) {
	if r.Stage.Ended() {
		return
	}
	names[storage.GraphName(r.GraphHash)] = true
	if r.Change != nil {
		names[storage.ArtifactName(r.Change.Artifact)] = true
	}
}
