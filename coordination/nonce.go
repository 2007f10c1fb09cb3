package coordination

import "crypto/rand"

// NewNonce returns a string that no other call has returned, to recognise one's own claim by.
func NewNonce() string { return rand.Text() }
