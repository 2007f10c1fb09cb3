package rest

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/perennial-io/perennial/internal/api"
	"github.com/perennial-io/perennial/internal/jobmanager"
)

// metrics answers in the text format of Prometheus. It asks neither coordination nor storage, so it
// answers however these are.
func metrics(jm *jobmanager.JobManager) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(jm.Figures), userCollector{jm.Figures}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	answer := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // none in a test
		answer.ServeHTTP(w, r)
	})
}

// family is one metric: its series have one name, and differ in their labels.
type family[T any] struct {
	name   string
	kind   prometheus.ValueType
	help   string
	labels []string // beside those that all families of a table have
	// read emits the series, each with a value for every one of labels.
	read func(of T, emit func(value float64, labels ...string))
}

// jobLabels are what all families of jobs have.
var jobLabels = []string{"job_id", "job_name"}

// taskManagerLabels are what all families of TaskManagers have.
var taskManagerLabels = []string{"taskmanager", "host"}

// collector reads the families from what the JobManager knows at that moment. It keeps nothing:
// a job that is gone leaves no series behind.
type collector struct {
	figures func() jobmanager.Figures
	own     []described[*jobmanager.Figures]
	hosts   []described[*api.TaskManager]
	jobs    []described[*api.Job]
}

type described[T any] struct {
	family[T]
	desc *prometheus.Desc
}

func newCollector(figures func() jobmanager.Figures) *collector {
	return &collector{figures: figures, own: describe(ownFamilies, nil), hosts: describe(taskManagerFamilies, taskManagerLabels), jobs: describe(jobFamilies, jobLabels)}
}

func describe[T any](families []family[T], common []string) []described[T] {
	var list []described[T]
	for _, f := range families {
		labels := append(append([]string{}, common...), f.labels...)
		list = append(list, described[T]{f, prometheus.NewDesc(f.name, f.help, labels, nil)})
	}
	return list
}

// Describe names the families.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.own {
		to <- d.desc
	}
	for _, d := range c.hosts {
		to <- d.desc
	}
	for _, d := range c.jobs {
		to <- d.desc
	}
}

// Collect reads them.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	f := c.figures()
	for _, d := range c.own {
		d.collect(&f, to)
	}
	if f.Led == nil {
		return
	}
	for i := range f.Led.TaskManagers {
		t := &f.Led.TaskManagers[i]
		for _, d := range c.hosts {
			d.collect(t, to, t.ID, t.Host)
		}
	}
	for _, j := range f.Led.Jobs {
		for _, d := range c.jobs {
			d.collect(j, to, string(j.ID), j.Name)
		}
	}
}

func (d *described[T]) collect(of T, to chan<- prometheus.Metric, common ...string) {
	d.read(of, func(value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(d.desc, d.kind, value, valid(append(append([]string{}, common...), labels...))...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d.desc, err)
		}
		to <- m
	})
}

// valid makes labels of names, which are the users'.
func valid(names []string) []string {
	for i := range names {
		names[i] = strings.ToValidUTF8(names[i], "\uFFFD")
	}
	return names
}
