// Package diagnose is what an operator asks a cluster when something is wrong: logs (Logs), profiles (Fetch) and a list of
// checks (Check). It is the asker's side of package inspect: it asks for pieces and puts them together.
//
// It prints nothing by itself, changes nothing in the cluster (a check writes a token to the shared storage, and removes
// it), and leaves no goroutine behind, but one that waits for a storage that hangs.
package diagnose
