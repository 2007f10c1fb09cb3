// Package connectortest is the suite that every connector.TransactionalSink passes, and a small system of
// transactions, the Ledger, that shows how one is written.
//
// A connector's own test is three lines:
//
//	func TestTransactions(t *testing.T) {
//		connectortest.Transactional(t, func(t *testing.T) connectortest.Fixture[string] { … })
//	}
//
// It is for tests only. It starts goroutines for the calls that a runtime makes at the same time, and
// waits for them.
package connectortest
