package minicluster

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever happens side by side may be noted in any order: the story is the same.
func TestOrderDoesNotDependOnChance(t *testing.T) {
	claim := line{from: "jm-2", kind: "claimed", text: "claims epoch 2"}
	chain := func(tm string) []line {
		return []line{
			{from: "jm-2", to: tm, kind: "lead", subject: tm},
			{from: tm, to: "jm-2", kind: "report", subject: tm},
			{from: "jm-2", to: tm, kind: "deploy", subject: "job"},
			{from: tm, to: "jm-2", kind: "status", subject: "job", text: "RUNNING"},
		}
	}
	want := order(slices.Concat([]line{claim}, chain("tm-1"), chain("tm-2"), chain("tm-3")))
	for range 100 {
		lines := []line{claim}
		chains := [][]line{chain("tm-1"), chain("tm-2"), chain("tm-3")}
		for len(chains) > 0 {
			i := rand.IntN(len(chains))
			lines = append(lines, chains[i][0])
			if chains[i] = chains[i][1:]; len(chains[i]) == 0 {
				chains = slices.Delete(chains, i, i+1)
			}
		}
		if got := order(slices.Clone(lines)); !slices.Equal(got, want) {
			t.Fatalf("of %+v\nthe order is %+v\nwant %+v", lines, got, want)
		}
	}
	if want[0] != claim || want[1].kind != "lead" || want[3].kind != "lead" || want[12].kind != "status" {
		t.Errorf("the order is %+v", want)
	}
}
