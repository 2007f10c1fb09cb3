// Package rpc is the control plane's vocabulary and its framing: messages, each with the
// sender's cluster incarnation and epoch, over one connection that both ends write to.
//
// It decides nothing: who may send what, and what is stale, is the receiver's business.
// A Conn starts no goroutine; its owner runs Receive in one of its own.
package rpc
