// Package streamtest runs a job inside a test: slices in, slices out.
//
//	func TestCount(t *testing.T) {
//		got := streamtest.Transform(t, []string{"a b", "b"}, countWords)
//		...
//	}
//
// The job runs in the test's process, with the same runtime that runs it on a cluster, and has
// ended, its goroutines included, when the functions here return. Nothing is simulated: an
// operator with parallelism 4 runs as four goroutines, so what the race detector says is true.
package streamtest
