// Package daemon starts, stops and lists processes of this host that go on without the command
// that started them: their pid files, their logs, and when they are ready.
//
// A process is known to be ours by a lock, not by its number alone: it inherits its pid file open and
// locked, and keeps it until it ends, however it ends. The file says when it began, too, where the
// kernel tells. Nothing is signalled whose lock is not held at that moment, or that began at another.
//
// The package knows no configuration, starts no goroutine, and never removes a log.
package daemon
