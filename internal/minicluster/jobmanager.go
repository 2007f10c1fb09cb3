package minicluster

import (
	"context"
	"net/http"
	"sync"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/jobmanager"
	"github.com/perennial-io/perennial/internal/rest"
)

// JobManager is a part of a Cluster.
type JobManager struct {
	part

	mu       sync.Mutex
	instance *jobmanager.JobManager // of the latest life; nil until its API is up
	rest     string                 // address of its API
	server   *http.Server           // that answers there; nil until it has
}

func newJobManager(c *Cluster, name string) *JobManager {
	j := &JobManager{part: part{c: c, name: name}}
	j.run, j.bury = j.runLife, j.closeAPI
	return j
}

func (j *JobManager) runLife(ctx context.Context, p *process) error {
	return jobmanager.Run(ctx, jobmanager.Config{
		ID: p.name, Open: j.open(p), Storage: j.c.storage, Host: "127.0.0.1", Dial: j.c.network.dial(p),
		Listening: func(rpc, rest string) {
			j.c.network.listen(rpc, p)
			j.set(nil, rest)
		},
		API: func(jm *jobmanager.JobManager) http.Handler {
			_, address := j.get()
			j.set(jm, address)
			return j.mortal(p, rest.Handler(jm))
		},
		HeartbeatInterval:  j.c.config.HeartbeatInterval,
		HeartbeatTimeout:   j.c.config.HeartbeatTimeout,
		TaskManagerTimeout: j.c.config.TaskManagerTimeout,
		Version:            "test",
		Logger:             j.c.log.With("process", p.name),
	})
}

func (j *JobManager) set(jm *jobmanager.JobManager, rest string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.instance, j.rest, j.server = jm, rest, nil
}

// closeAPI ends the connections of clients at once. It is the least that may be noticed of a
// death before it is complete: a client that finds nobody here asks others, who do not know more.
func (j *JobManager) closeAPI(*process) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.server != nil {
		j.server.Close()
	}
}

func (j *JobManager) get() (*jobmanager.JobManager, string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.instance, j.rest
}

// REST is the address of its API, or "" while it has none.
func (j *JobManager) REST() string {
	if jm, address := j.get(); jm != nil && j.Alive() {
		return address
	}
	return ""
}

// Self is what it says about itself: also that it leads, when it was replaced and does not know.
func (j *JobManager) Self() api.Self {
	if jm, _ := j.get(); jm != nil && j.Alive() {
		return jm.Self()
	}
	return api.Self{}
}

// mortal serves HTTP for as long as the process is heard. A request that it is answering when it
// is killed ends without an answer.
func (j *JobManager) mortal(p *process, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if server, is := r.Context().Value(http.ServerContextKey).(*http.Server); is {
			j.mu.Lock()
			j.server = server
			j.mu.Unlock()
		}
		w = lastWords{w, p}
		w.(lastWords).live()
		h.ServeHTTP(w, r)
		w.(lastWords).live() // what is written is sent after this
	})
}

type lastWords struct {
	http.ResponseWriter
	p *process
}

// live breaks the connection of a process that was killed.
func (w lastWords) live() {
	if w.p.isSilent() {
		panic(http.ErrAbortHandler)
	}
}

func (w lastWords) Write(b []byte) (int, error) {
	w.live()
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w lastWords) Unwrap() http.ResponseWriter { return w.ResponseWriter }
