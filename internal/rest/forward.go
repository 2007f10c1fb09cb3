package rest

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/jobmanager"
)

// own are the paths that each JobManager answers about itself.
var own = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true, "/v1/self": true, "/v1/self/inspect": true}

// forwarding passes on to the leader what a standby is asked, once: what was passed on, or comes from a client that
// goes to the leader by itself, is answered with who leads.
func forwarding(jm *jobmanager.JobManager, here http.Handler) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header.Set(api.FollowHeader, "yes")
			r.SetXForwarded()
		},
		Transport: &http.Transport{DisableKeepAlives: true}, // they are few, and nobody would close what idles
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, &api.Error{Code: api.NoLeader, Message: fmt.Sprintf("this JobManager stands by, and the leader at %s does not answer (%v); ask again", r.URL.Host, err)})
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leader := ""
		if !own[r.URL.Path] && r.Header.Get(api.FollowHeader) == "" {
			leader = jm.Elsewhere()
		}
		if leader == "" {
			here.ServeHTTP(w, r)
			return
		}
		w.Header().Set(api.LeaderHeader, leader)
		target := r.Clone(r.Context())
		target.URL = &url.URL{Scheme: "http", Host: leader, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		target.Body = io.NopCloser(&patientReader{r: r.Body, control: http.NewResponseController(w)})
		proxy.ServeHTTP(w, target)
	})
}
