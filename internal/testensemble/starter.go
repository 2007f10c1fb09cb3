package testensemble

import (
	"os/exec"
	"runtime"
)

// starter starts child processes from one operating system thread that lives as long
// as the starter: the parent-death signal follows a thread, and Go ends threads at will.
type starter struct {
	starts chan *exec.Cmd
	errs   chan error
	ended  chan struct{}
}

func newStarter() *starter {
	s := &starter{starts: make(chan *exec.Cmd), errs: make(chan error), ended: make(chan struct{})}
	go s.run()
	return s
}

func (s *starter) run() {
	defer close(s.ended)
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for cmd := range s.starts {
		s.errs <- cmd.Start()
	}
}

// start is cmd.Start on the starter's thread. One goroutine at a time may call it.
func (s *starter) start(cmd *exec.Cmd) error {
	s.starts <- cmd
	return <-s.errs
}

// close ends the thread, and with it what is still alive of the processes it started.
func (s *starter) close() {
	close(s.starts)
	<-s.ended
}
