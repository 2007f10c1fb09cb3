// Package testensemble starts real Apache ZooKeeper ensembles on this machine, for
// tests, benchmarks and scripts, and lets them kill, freeze and restart single servers. A Proxy
// does to a client what networks do, and an Authority signs certificates for both.
//
// It never touches an ensemble or a process that it did not start. Servers listen on
// loopback alone, keep their files in the directory given, and die with the process
// that started them. An Ensemble owns one goroutine that starts servers and one per
// server that waits for its exit; all have ended when Close returns. A Proxy owns one per listener and two per
// connection, which end with the test.
package testensemble
