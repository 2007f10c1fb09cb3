package rest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/inspect"
	"github.com/perennial-io/perennial/internal/job"
	"github.com/perennial-io/perennial/internal/jobmanager"
	"github.com/perennial-io/perennial/internal/storage"
)

const (
	maxBody     = 128 << 10        // of a request in JSON, in bytes
	bodyTime    = 10 * time.Second // in which one arrives
	uploadPause = 30 * time.Second // in which a piece of a job binary arrives
	answerTime  = 30 * time.Second // in which an answer is taken
)

// Handler answers the API for jm.
func Handler(jm *jobmanager.JobManager) http.Handler {
	h := handler{jm}
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(*http.Request) (status int, body any, err error){
		"GET /healthz":                         h.self,
		"GET /readyz":                          h.ready,
		"GET /v1/self":                         h.self,
		"GET /v1/cluster":                      h.cluster,
		"GET /v1/jobmanagers":                  h.jobManagers,
		"GET /v1/taskmanagers":                 h.taskManagers,
		"GET /v1/failovers":                    h.failovers,
		"POST /v1/taskmanagers/{id}/drain":     h.drain,
		"HEAD /v1/artifacts/{sha256}":          h.hasArtifact,
		"POST /v1/jobs":                        h.submit,
		"GET /v1/jobs":                         h.jobs,
		"GET /v1/jobs/{id}":                    h.job,
		"POST /v1/jobs/{id}/cancel":            h.cancel,
		"POST /v1/jobs/{id}/requests":          h.request,
		"/":                                    h.unknown,
		"POST /v1/step-down":                   h.stepDown,
		"GET /v1/quorum":                       h.quorum,
		"POST /v1/quorum/members":              h.addToQuorum,
		"DELETE /v1/quorum/members/{member}":   h.removeFromQuorum,
		"GET /v1/jobs/{id}/files":              h.jobFiles,
		"POST /v1/probe":                       h.probe,
		"POST /v1/self/inspect":                h.inspectSelf,
		"POST /v1/taskmanagers/{part}/inspect": h.inspectTaskManager,
		"POST /v1/metadata/export":             h.export,
	} {
		mux.Handle(pattern, bounded(answer))
	}
	mux.HandleFunc("PUT /v1/artifacts/{sha256}", h.putArtifact)
	mux.Handle("GET /metrics", metrics(jm))
	return forwarding(jm, mux)
}

type handler struct{ jm *jobmanager.JobManager }

func (h handler) self(*http.Request) (int, any, error) { return http.StatusOK, h.jm.Self(), nil }

// ready is self of a JobManager that is Ready.
func (h handler) ready(r *http.Request) (int, any, error) {
	if !h.jm.Ready(r.Context()) {
		return 0, nil, &api.Error{Code: api.NoLeader, Message: "no JobManager that leads and can answer is known here"}
	}
	return http.StatusOK, h.jm.Self(), nil
}

func (h handler) cluster(r *http.Request) (int, any, error) {
	c, err := h.jm.Cluster(r.Context())
	return http.StatusOK, c, err
}

func (h handler) jobManagers(r *http.Request) (int, any, error) {
	list, err := h.jm.JobManagers(r.Context())
	return http.StatusOK, list, err
}

func (h handler) taskManagers(r *http.Request) (int, any, error) {
	list, err := h.jm.TaskManagers(r.Context())
	return http.StatusOK, list, err
}

func (h handler) failovers(r *http.Request) (int, any, error) {
	list, err := h.jm.Failovers(r.Context())
	return http.StatusOK, list, err
}

func (h handler) drain(r *http.Request) (int, any, error) {
	var how api.Drain
	if err := decode(r.Body, &how); err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, struct{}{}, h.jm.DrainTaskManager(r.Context(), r.PathValue("id"), how.Force)
}

func (h handler) stepDown(r *http.Request) (int, any, error) {
	var ask api.StepDown
	if err := decode(r.Body, &ask); err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, ask, h.jm.StepDown(r.Context(), ask.Epoch)
}

func (h handler) export(r *http.Request) (int, any, error) {
	var ask api.ExportRequest
	if err := decode(r.Body, &ask); err != nil {
		return 0, nil, err
	}
	e, err := h.jm.Export(r.Context(), ask.Final)
	return http.StatusOK, e, err
}

func (h handler) quorum(r *http.Request) (int, any, error) {
	q, err := h.jm.QuorumStatus(r.Context())
	return http.StatusOK, q, err
}

func (h handler) addToQuorum(r *http.Request) (int, any, error) {
	var ask api.QuorumAddition
	if err := decode(r.Body, &ask); err != nil {
		return 0, nil, err
	}
	a, err := h.jm.AddToQuorum(r.Context(), ask.Member)
	return http.StatusCreated, a, err
}

func (h handler) removeFromQuorum(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, h.jm.RemoveFromQuorum(r.Context(), r.PathValue("member"))
}

func (h handler) hasArtifact(r *http.Request) (int, any, error) {
	has, err := h.jm.HasArtifact(r.Context(), r.PathValue("sha256"))
	if err == nil && !has {
		err = &api.Error{Code: api.NotFound, Message: "no such job binary is stored"}
	}
	return http.StatusOK, nil, err
}

func (h handler) submit(r *http.Request) (int, any, error) {
	var spec job.Spec
	if err := decode(r.Body, &spec); err != nil {
		return 0, nil, err
	}
	j, err := h.jm.Submit(r.Context(), spec)
	return http.StatusCreated, j, err
}

func (h handler) jobs(r *http.Request) (int, any, error) {
	list, err := h.jm.Jobs(r.Context())
	return http.StatusOK, list, err
}

func (h handler) job(r *http.Request) (int, any, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	j, err := h.jm.Job(r.Context(), id)
	return http.StatusOK, j, err
}

func (h handler) cancel(r *http.Request) (int, any, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	j, err := h.jm.Cancel(r.Context(), id)
	return http.StatusAccepted, j, err
}

func (h handler) request(r *http.Request) (int, any, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	var request job.Request
	if err := decode(r.Body, &request); err != nil {
		return 0, nil, err
	}
	j, err := h.jm.Request(r.Context(), id, request)
	return http.StatusAccepted, j, err
}

func (h handler) jobFiles(r *http.Request) (int, any, error) {
	id, err := pathID(r)
	if err != nil {
		return 0, nil, err
	}
	files, err := h.jm.JobFiles(r.Context(), id)
	return http.StatusOK, files, err
}

func (h handler) inspectSelf(r *http.Request) (int, any, error) {
	var q inspect.Question
	if err := decode(r.Body, &q); err != nil {
		return 0, nil, err
	}
	p, err := h.jm.InspectSelf(r.Context(), q)
	return http.StatusOK, p, err
}

func (h handler) probe(r *http.Request) (int, any, error) {
	var p inspect.Probe
	if err := decode(r.Body, &p); err != nil {
		return 0, nil, err
	}
	list, err := h.jm.ProbeTaskManagers(r.Context(), p)
	return http.StatusOK, list, err
}

func (h handler) inspectTaskManager(r *http.Request) (int, any, error) {
	var q api.Inspect
	if err := decode(r.Body, &q); err != nil {
		return 0, nil, err
	}
	p, err := h.jm.InspectTaskManager(r.Context(), r.PathValue("part"), q)
	return http.StatusOK, p, err
}

func (h handler) unknown(r *http.Request) (int, any, error) {
	return 0, nil, &api.Error{Code: api.NotFound, Message: fmt.Sprintf("there is nothing at %s %s", r.Method, r.URL.Path)}
}

// putArtifact reads a job binary for as long as pieces of it keep coming.
func (h handler) putArtifact(w http.ResponseWriter, r *http.Request) {
	body := &patientReader{r: http.MaxBytesReader(w, r.Body, storage.MaxArtifact+1), control: http.NewResponseController(w)}
	if err := h.jm.PutArtifact(r.Context(), r.PathValue("sha256"), body); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// patientReader gives each read its own time.
type patientReader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(time.Now().Add(uploadPause)); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// bounded makes a handler of a function, and bounds the size of its request and the time that it
// and the answer may take to pass.
func bounded(answer func(*http.Request) (int, any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		// A connection that cannot have deadlines is one of a test.
		_ = control.SetReadDeadline(time.Now().Add(bodyTime))
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		status, body, err := answer(r)
		if err != nil {
			refuse(w, err)
			return
		}
		write(w, status, body)
	})
}

func pathID(r *http.Request) (job.ID, error) {
	id, err := job.ParseID(r.PathValue("id"))
	if err != nil {
		return "", &api.Error{Code: api.BadRequest, Message: err.Error()}
	}
	return id, nil
}

// decode reads one JSON document, and says what is wrong with it.
func decode(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("there is more than one document")
	}
	if err == nil {
		return nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &api.Error{Code: api.BadRequest, Message: fmt.Sprintf("the request has more than %d bytes; pass a file's name instead of its content", tooLarge.Limit)}
	}
	return &api.Error{Code: api.BadRequest, Message: fmt.Sprintf("the request is no JSON of this API: %v", err)}
}

// statuses are those of the codes; what has none is an error of this program.
var statuses = map[string]int{
	api.NotLeader: http.StatusMisdirectedRequest, api.NoLeader: http.StatusServiceUnavailable,
	api.Unavailable: http.StatusServiceUnavailable, api.NotFound: http.StatusNotFound,
	api.BadRequest: http.StatusBadRequest, api.Conflict: http.StatusConflict,
}

func refuse(w http.ResponseWriter, err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		e = &api.Error{Code: api.Unavailable, Message: err.Error()}
	}
	write(w, cmp.Or(statuses[e.Code], http.StatusInternalServerError), e)
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body) // a client that has gone wants no answer
	}
}
