package rest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDeployedNames: what the dashboard and the alert rules ask for is what /metrics serves.
func TestDeployedNames(t *testing.T) {
	served := map[string]bool{}
	for _, f := range ownFamilies {
		served[f.name] = true
	}
	for _, f := range taskManagerFamilies {
		served[f.name] = true
	}
	for _, f := range jobFamilies {
		served[f.name] = true
	}
	for _, path := range []string{"../../deploy/grafana/perennial.json", "../../deploy/prometheus/perennial.rules.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bperennial_[a-z_]+`).FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s names only %v", path, names)
		}
		for _, name := range names {
			if !served[name] && !strings.HasPrefix(name, userPrefix) {
				t.Errorf("%s asks for %s, which /metrics does not serve", path, name)
			}
		}
	}
}
