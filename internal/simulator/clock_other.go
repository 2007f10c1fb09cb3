//go:build !simulated

package simulator

import "time"

// canJump says that this binary's runtime can set a host's wall clock.
const canJump = false

// clock is the bubble's, for everybody.
type clock struct{}

func (*clock) identify(string) {}

func (*clock) jump(time.Duration) {}

// Exactly does nothing: with the runtime that every program has, a seed does not decide which goroutine goes first.
func Exactly() {}
