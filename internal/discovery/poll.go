package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/perennial-io/perennial/internal/api"
)

// askTime bounds a question to one JobManager; maxSelf its answer, in bytes.
const (
	askTime = time.Second
	maxSelf = 64 << 10
)

// Poll asks the JobManagers at the REST addresses who they are, every interval. One that does
// not answer is listed as it last was: its restart under another RPC port shows when it answers
// again. A leader that another JobManager names is listed too, so that one address is enough
// to find a cluster that has a leader.
func Poll(rest []string, interval time.Duration) Discovery {
	return func(ctx context.Context) <-chan []JobManager {
		c := newChanges()
		go func() {
			defer close(c.out)
			p := poller{rest: rest, selves: make([]api.Self, len(rest)), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
			for first := true; first || !sleep(ctx, interval); first = false {
				p.ask(ctx)
				if list := p.list(); len(list) > 0 {
					c.send(list)
				}
			}
		}()
		return c.out
	}
}

type poller struct {
	rest   []string
	selves []api.Self // the last answer of each; zero: none yet
	client *http.Client
}

// ask asks all at once, and waits for all.
func (p *poller) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var wg sync.WaitGroup
	for i, addr := range p.rest {
		wg.Go(func() {
			if s, err := p.self(ctx, addr); err == nil {
				p.selves[i] = s
			}
		})
	}
	wg.Wait()
}

func (p *poller) self(ctx context.Context, addr string) (s api.Self, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/self", nil)
	if err != nil {
		return s, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s answered %s", addr, resp.Status)
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxSelf)).Decode(&s)
	return s, err
}

// list is everyone known, each once.
func (p *poller) list() (list []JobManager) {
	seen := map[string]bool{"": true}
	add := func(jm JobManager) {
		if !seen[jm.RPC] {
			seen[jm.RPC] = true
			list = append(list, jm)
		}
	}
	for _, s := range p.selves {
		add(JobManager{ID: s.ID, RPC: s.RPC, REST: s.REST})
	}
	for _, s := range p.selves {
		add(JobManager{RPC: s.LeaderRPC, REST: s.Leader})
	}
	return list
}
