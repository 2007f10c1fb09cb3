// Package taskmanager is the process that offers a host's slots: it registers with every
// JobManager, plans jobs, starts one task process per job, and supervises those processes.
//
// What it never does: it stops no task because a JobManager went away. Without a leader its
// tasks run on, their final states are held, and the next leader finds all of it in a Report
// (R12). It decides nothing about a job, runs no user code in its own process, and reads no
// record: an accepted data connection is handed to the task process that it names.
//
// Goroutines. Run owns all of them and has waited for them when it returns:
//
//   - the table (table.go) owns the attempts, the highest epoch seen and the links; every
//     message from a JobManager and every event of a task process passes through it;
//   - one dialer per JobManager (dial.go) dials, registers and reads, and one writer per
//     connection (link.go) sends what the table has posted;
//   - one goroutine per attempt (process.go) fetches the binary, starts the task process,
//     ends it when told to and waits for its exit, with one that reads what the process says, and one that tells it.
//     The process outlives its subtasks: it ends when a leader confirms or stops the attempt;
//   - one per plan under way (plan.go), and one per question about a log or a profile (inspect.go);
//   - one accepts on the data port, and one per connection whose preamble is not yet read
//     (dataport.go);
//   - one measures the load (load.go);
//   - the spawner (child.go) starts every child from one operating system thread.
//
// What a leader grants an instance that is to stand still without one is in lease.go, and handed on to the task processes.
//
// What a task process may take of memory and CPUs is in limits.go: Go keeps to it by its environment, and the kernel by control
// groups (cgroup_linux.go), which live and go with the processes.
//
// An instance is one table. A TaskManager that learns that it was declared dead ends its
// tasks, forgets everything but the epoch, and begins a new instance.
//
// Read table.go next: it is the protocol. The rules R1 to R16 are those of
// docs/failover-protocol.md.
package taskmanager
