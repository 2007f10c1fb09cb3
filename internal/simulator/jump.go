package simulator

// canJump says that this binary's runtime can set a host's wall clock.
const canJump = false
