// Package testensemble starts real Apache ZooKeeper ensembles on this machine, for
// tests, benchmarks and scripts, and lets them kill, freeze and restart single servers.
//
// It never touches an ensemble or a process that it did not start. Servers listen on
// loopback alone, keep their files in the directory given, and die with the process
// that started them. An Ensemble owns one goroutine that starts servers and one per
// server that waits for its exit; all have ended when Close returns.
package testensemble
