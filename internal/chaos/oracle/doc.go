// Package oracle runs a job in this process under faults that a seed draws: what decides is the real
// execution graph (internal/jobmanager/execution), what runs are real subtasks (internal/task) that exchange records over
// real channels and keep real checkpoints in a storage directory. What lies between, a leader that commits, TaskManagers that
// hold acknowledgements, and a network, is this package's, and there it has its hands: processes and
// leaders die, are cut off, are declared dead and run on; leaders die before and after a commit and between two renames;
// storage fails, and is damaged; an attempt is continued at another parallelism.
//
// It is to be called in a bubble of testing/synctest: all waiting is then free. Internal/chaos does the
// same, more slowly and more truly, with real processes.
//
// One goroutine, Run's caller, owns everything; subtasks and the network post to its inbox, and
// nothing is left when it returns.
package oracle
