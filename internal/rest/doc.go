// Package rest is the HTTP API of a JobManager: internal/api's paths, over the methods of a
// jobmanager.JobManager.
//
// It decides nothing: it bounds what comes in, decodes and encodes, and turns what a
// JobManager says into a status. Its goroutines are those of the HTTP server that runs it.
package rest
