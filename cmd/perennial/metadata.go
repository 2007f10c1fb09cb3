package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/perennial-io/perennial/client"
	"github.com/perennial-io/perennial/coordination"
	"github.com/perennial-io/perennial/coordination/local"
	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/metadata"
	"github.com/perennial-io/perennial/internal/storage"
)

func metadataCommand(g *global) *cobra.Command {
	parent := &cobra.Command{
		Use: "metadata", Short: "Move a cluster to another coordination, or keep what coordination holds of it",
		Long: `What coordination (a local file, the embedded quorum, ZooKeeper, etcd) holds of a cluster, in one file: for a backup, or to move the
cluster to another coordination while its jobs run. docs/operations.md tells it step by step.`,
	}
	parent.AddCommand(exportCommand(g), importCommand(g))
	return parent
}

func exportCommand(g *global) *cobra.Command {
	var final bool
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write all that coordination holds of the cluster to a file, as of one moment", Args: exactly("FILE"),
		Long: `Export asks the leader for all that is committed, as of one moment, and writes it to a new file. The cluster goes on, so the file is a backup.
With --final it does not: every JobManager ends, and none leads on that coordination again. Jobs run on without one, until the file is imported elsewhere.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
				defer cancel()
				to, err := os.OpenFile(args[0], os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
				if err != nil {
					return fmt.Errorf("export: %w", err)
				}
				said, err := exportTo(ctx, c, to, final)
				if err = errors.Join(err, to.Close()); err != nil {
					return errors.Join(err, os.Remove(args[0]))
				}
				fmt.Fprintln(cmd.OutOrStdout(), said)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&final, "final", false, "end all JobManagers, for an import elsewhere")
	return cmd
}

// exportTo writes an export that it has read back, and tells what it is.
func exportTo(ctx context.Context, c *client.Client, to *os.File, final bool) (said string, err error) {
	e, err := c.Export(ctx, final)
	if err != nil && final {
		return "", fmt.Errorf("%w; if the JobManagers have ended all the same, the export is in storage.dir, as cluster/export-EPOCH", err)
	}
	if err != nil {
		return "", err
	}
	h, entries, err := metadata.Read(e.File)
	if err != nil {
		return "", fmt.Errorf("what the leader answered: %w", err)
	}
	if _, err := to.Write(e.File); err != nil {
		return "", err
	}
	said = fmt.Sprintf("%d entries of cluster %s, epoch %d", len(entries), h.Incarnation, h.Epoch)
	if final {
		said += "; its JobManagers end, and its jobs run on. The same is at " + e.Location
	}
	return said, to.Sync()
}

func importCommand(g *global) *cobra.Command {
	var backup bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Have an empty coordination take over what was exported", Args: exactly("FILE"),
		Long: `Import leaves an export in storage.dir, which stays that of the cluster, for the JobManagers that are started next: on the coordination that
the configuration now names, which must be empty. The first of them commits it there, under a higher epoch than any before, and jobs that run are adopted.
An export of a cluster that went on is a backup: what was committed later is not in it, and a job fails if all checkpoints of it that it names are gone. --backup says that this is meant,
as the coordination is lost; stop all TaskManagers before, as what they run may be newer than the backup.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			file, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			l, err := g.launcher("status")
			if err == nil {
				err = l.Enter() // where JobManagers look for storage, and for their local files, by relative paths
			}
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			h, err := importFile(cmd.Context(), c, file, backup)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s, epoch %d, is taken over by the JobManagers that are started now, with high-availability: %s\n",
				h.Incarnation, h.Epoch, c.String(config.HighAvailability))
			return nil
		},
	}
	cmd.Flags().BoolVar(&backup, "backup", false, "import a backup, as the coordination that it was taken from is lost")
	return cmd
}

// importFile checks what can be checked before JobManagers run there, and leaves the file to them.
func importFile(ctx context.Context, c *config.Config, file []byte, backup bool) (metadata.Header, error) {
	h, _, err := metadata.Read(file)
	switch {
	case err != nil:
		return h, err
	case !h.Final && !backup:
		return h, fmt.Errorf("it is a backup of %s, after which its cluster went on; to move a cluster export it with --final; if that cluster's coordination is lost, say --backup",
			h.Taken.Local().Format(time.DateTime))
	}
	store, err := openStorage(ctx, c)
	if err != nil {
		return h, err
	}
	own, err := store.Incarnation(ctx)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return h, fmt.Errorf("storage.dir %s is empty: it must be that of the cluster, where checkpoints and job binaries are", store.Dir())
	case err != nil:
		return h, err
	case own != h.Incarnation:
		return h, fmt.Errorf("it is of cluster %s, and storage.dir %s of cluster %s", h.Incarnation, store.Dir(), own)
	}
	for _, address := range slices.Concat(h.JobManagers, c.List(config.JobManagers)) { // where they were, and where they will be
		if leads(ctx, address, h.Incarnation) {
			return h, fmt.Errorf("the JobManager at %s leads this cluster: export it with --final, or stop it", address)
		}
	}
	if err := checkEmpty(ctx, c); err != nil {
		return h, err
	}
	created, at, err := store.PutImport(ctx, file)
	if err == nil && !created {
		err = fmt.Errorf("an import waits already, at %s: start JobManagers, or delete that file", at)
	}
	return h, err
}

// leads asks a JobManager whether it leads a cluster.
func leads(ctx context.Context, address, cluster string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/self", nil)
	if err != nil {
		return false
	}
	asker := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	resp, err := asker.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var self api.Self
	return json.NewDecoder(resp.Body).Decode(&self) == nil && self.Role == "leader" && self.Cluster == cluster
}

// checkEmpty refuses a coordination that has been led, where that can be seen while no JobManager runs.
func checkEmpty(ctx context.Context, c *config.Config) error {
	var open opener
	where := fmt.Sprintf("cluster.id %s", c.String(config.ClusterID))
	log := newLogger(c, os.Stderr).Logger
	switch c.String(config.HighAvailability) {
	case "zookeeper":
		open = openZooKeeper(c, log)
	case "etcd":
		open = openEtcd(c, log)
	case "embedded":
		dir := c.String(config.EmbeddedDir)
		if _, err := os.Stat(filepath.Join(dir, "member")); err == nil {
			return fmt.Errorf("coordination.embedded.dir %s is not empty: import only into an empty place, on all masters", dir)
		}
		return nil
	default:
		where = "coordination.local.dir " + c.String(config.LocalDir)
		if _, err := os.Stat(filepath.Join(c.String(config.LocalDir), local.Name)); err != nil {
			return nil //nolint:nilerr // there is nothing
		}
		open = func(ctx context.Context) (coordination.Store, error) {
			return local.Open(ctx, c.String(config.LocalDir))
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	store, err := open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() // nothing was written
	l, err := store.Leader(ctx)
	if err == nil && l.Epoch > 0 {
		err = fmt.Errorf("%s is not empty, it was led up to epoch %d: import only into an empty place, such as another cluster.id or directory", where, l.Epoch)
	}
	return err
}
