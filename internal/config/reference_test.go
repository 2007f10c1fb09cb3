package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write conf/perennial.yaml and the table in docs/configuration.md anew")

// TestReference holds what is generated from the table of keys equal to it: `make reference` writes it.
func TestReference(t *testing.T) {
	const page, begin, end = "../../docs/configuration.md", "<!-- keys: written by make reference -->\n", "<!-- end of keys -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table between %q and %q", page, begin, end)
	}
	for path, want := range map[string]string{
		"../../conf/perennial.yaml": YAML(),
		page:                        before + begin + Table() + end + after,
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s differs from the table of keys (%v): run make reference", path, err)
		}
	}
}

// TestShippedFile: it changes nothing, and neither does it with every key uncommented.
func TestShippedFile(t *testing.T) {
	text := YAML()
	var uncommented strings.Builder
	for line := range strings.Lines(text) {
		if key, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(key, ":") && find(Name(key[:strings.Index(key, ":")])) != nil {
			line = key
		}
		uncommented.WriteString(line)
	}
	for name, text := range map[string]string{"as shipped": text, "uncommented": uncommented.String()} {
		c, err := Load(write(t, "perennial.yaml", text), nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plain, err := Load("", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range Keys {
			if k.Name == TaskManagerHost { // depends on whether another is set
				continue
			}
			if c.String(k.Name) != plain.String(k.Name) {
				t.Errorf("%s: %s is %q, want %q", name, k.Name, c.String(k.Name), plain.String(k.Name))
			}
		}
		if name == "as shipped" && len(c.values) > 0 {
			t.Errorf("the shipped file sets %v", c.values)
		}
	}
	if strings.Count(uncommented.String(), "\n# ") > 3 {
		t.Error("keys were left commented")
	}
}

func TestEveryKeyHasAKnownType(t *testing.T) {
	known := map[string]bool{"string": true, "port": true, "count": true, "size": true, "duration": true, "path": true, "choice": true, "host": true, "list": true}
	for _, k := range Keys {
		if !known[k.Type] {
			t.Errorf("%s has type %q", k.Name, k.Type)
		}
	}
}
