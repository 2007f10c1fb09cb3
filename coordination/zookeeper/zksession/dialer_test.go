package zksession

import (
	"context"
	"slices"
	"testing"
	"time"
)

// TestAddressesInTurn: each connection takes the next address, though name servers turn the list as well.
func TestAddressesInTurn(t *testing.T) {
	answer := []string{"10.0.0.2", "10.0.0.1"}
	d := newDialer(Config{names: newNames(func(context.Context, string) ([]string, error) {
		slices.Reverse(answer)
		return slices.Clone(answer), nil
	})})
	taken := map[string]int{}
	for range 6 {
		a, err := d.address(t.Context(), "zk", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		taken[a]++
	}
	if taken["10.0.0.1"] != 3 || taken["10.0.0.2"] != 3 {
		t.Errorf("taken: %v, want each three times", taken)
	}
}
