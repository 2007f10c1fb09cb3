package launch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/perennial-io/perennial/internal/config"
	"github.com/perennial-io/perennial/internal/daemon"
)

// other tells of a process of a role that has no pid file here, by what it does: a JobManager or a ZooKeeper server answers at
// its port, a TaskManager holds its work directory. It is "" if there is none, or if nothing is known of where it would be.
func (l *Launcher) other(ctx context.Context, role, label string) string {
	switch {
	case role == ZooKeeper:
		_, s, err := l.server(label)
		if err != nil {
			return ""
		}
		m, err := mode(ctx, s)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("a server answers at %s: %s", clientAddress(s), m)
	case l.Config == nil:
		return ""
	case role == JobManager:
		host, port := hostAndPort(label)
		addr := Label(cmp.Or(host, l.Config.String(config.JobManagerAddress)), cmp.Or(port, l.Config.String(config.RestPort)))
		what, err := self(ctx, addr)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("JobManager %s (%s) answers at %s", what.ID, what.Role, addr)
	}
	dir := l.Config.String(config.TaskManagerDir)
	if data, err := l.DataDir(); err == nil && !filepath.IsAbs(dir) {
		dir = filepath.Join(data, dir)
	}
	if !daemon.Held(filepath.Join(dir, "lock")) {
		return ""
	}
	return "a TaskManager works in " + dir
}

// who is what a JobManager says of itself.
type who struct{ ID, Role string }

func self(ctx context.Context, addr string) (w who, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/self", nil)
	if err != nil {
		return w, err
	}
	transport := &http.Transport{DialContext: new(net.Dialer).DialContext, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return w, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&w)
	if err == nil && w.ID == "" {
		err = fmt.Errorf("what answers at %s is no JobManager", addr)
	}
	return w, err
}
