package record

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestCompatible(t *testing.T) {
	const list = "struct{V int8;Next *^2}"
	for _, c := range [][2]string{
		{"", "int8"}, // of an earlier version, which did not say
		{"time", "time"},
		{"bool", "*bool"},
		{"*int8", "*int64"},
		{"*int8", "**int64"}, // nil is nil
		{"int8", "**float64"},
		{"string", "[]uint8"},
		{"[]uint8", "string"},
		{"string", "*[]uint8"},
		{"[]uint8", "[]int16"},
		{"[][]uint8", "[]string"},
		{"[3]uint8", "[3]uint64"},
		{"map[string]int8", "map[string]*int16"},
		{"map[string]struct{}", "map[string]struct{A int8}"},
		{"map[string]^1", "map[string]map[string]^1"},
		{"struct{A int8}", "struct{}"},
		{"struct{A int8;B string}", "struct{C time;B []uint8;A int64}"},
		{"struct{A [0]int8;B int8}", "struct{A [0]int64}"},
		{`binary("a.T")`, `binary("a.T")`},
		{list, "struct{Next *^2;V int32;W string}"},
		{list, "struct{V int8;Next *struct{V int16;Next *^2}}"}, // unrolled once
		{"*" + list, "*struct{V float64;Next **^3}"},
	} {
		if err := Compatible(c[0], c[1]); err != nil {
			t.Errorf("%s as %s: %v", c[0], c[1], err)
		}
	}
}

func TestIncompatible(t *testing.T) {
	for _, c := range []struct{ written, read, want string }{
		{"int64", "int8", "the value was written as int64 and is to be read as int8: int8 does not have every int64; " +
			"keep its type, or give the state another name"},
		{"struct{Session struct{Clicks []struct{Price float64}}}", "struct{Session struct{Clicks []struct{Price int64}}}",
			"field Session.Clicks[].Price was written as float64 and is to be read as int64: int64 does not have every float64; " +
				"keep its type and add a field of another name, or give the state another name"},
		{"struct{A *int8}", "struct{A int8}", "field A was written as *int8 and is to be read as int8: the pointer may have been nil"},
		{"[]*int8", "[]int8", "field [] was written as *int8 and is"},
		{"[2]int8", "[3]int8", "the value was written as [2]int8 and is to be read as [3]int8: the length of an array cannot change"},
		{"[2]int8", "[]int8", "the value was written as [2]int8 and is to be read as []int8: nothing leads from one to the other"},
		{"[2][]int8", "[2][]bool", "field [][] was written as int8"},
		{"map[int8]int8", "map[int16]int8", "field [key] was written as int8 and is to be read as int16: the keys of a map cannot change"},
		{"struct{M map[string]map[struct{A int8}]bool}", "struct{M map[string]map[struct{}]bool}", "field M[][key] was written as struct{A int8}"},
		{"map[[2]int8]bool", "map[[3]int8]bool", "field [key] was written as [2]int8"},
		{`map[binary("a.T")]bool`, `map[binary("b.T")]bool`, `field [key] was written as binary("a.T")`},
		{`struct{A binary("a.T")}`, `struct{A binary("b.T")}`, `field A was written as binary("a.T") and is to be read as binary("b.T"): what a type has encoded itself`},
		{"struct{A time}", "struct{A int64}", "field A was written as time"},
		{"string", "[]int8", "the value was written as string"},
		{"[]int8", "string", "the value was written as []int8"},
		{"struct{A bool}", "struct{A uint8}", "field A was written as bool"},
		{"[]struct{}", "[]struct{A int8}", "field [] was written as struct{} and is to be read as struct{A int8}: what had no content"},
		{"struct{}", "struct{A int8}", "the value was written as struct{} and"},
		{"[]struct{}", "[]*struct{}", "field [] was written as struct{} and"},
		{"int8", "*^1", "the value was written as int8 and is to be read as *^1: it points to pointers alone"},
		{"struct{V int8;Next *^2}", "struct{V int8;Next *struct{V bool;Next *^2}}", "field Next.V was written as int8"},
		{"struct{V int8;Next *struct{V bool;Next *^4}}", "struct{V int8;Next *^2}", "field Next.V was written as bool"},
		{"chan", "int8", `what was written: this version does not know the schema "chan": byte 0: a type is missing; use the version`},
		{"int8", "", `what is to be read: this version does not know the schema ""`},
		{"[]struct{A " + strings.Repeat("[]", 150) + "int}", "[]bool", "field [] was written as struct{A " + strings.Repeat("[]", 55) + "[… and is"},
	} {
		if err := Compatible(c.written, c.read); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s as %s: got %v\nexpected %s", c.written, c.read, err, c.want)
		}
	}
}

// TestDocumentedRefusals: the documentation shows the very messages.
func TestDocumentedRefusals(t *testing.T) {
	text, err := os.ReadFile("../../docs/state-evolution.md")
	if err != nil {
		t.Fatal(err)
	}
	const sessions = "acc struct{User string;Clicks []struct{Page string;Price float64}}}"
	for _, read := range []string{"struct{Key string;" + strings.Replace(sessions, "float64", "int64", 1), "struct{Key int64;" + sessions} {
		err := CompatibleEntry("struct{Key string;"+sessions, read)
		if err == nil || !strings.Contains(string(text), "\n> "+err.Error()+"\n") {
			t.Errorf("state-evolution.md does not say: %v", err)
		}
	}
}

// TestNumbers: exactly these may become those.
func TestNumbers(t *testing.T) {
	wider := map[string]string{
		"int8": "int16 int32 int64 int float64", "int16": "int32 int64 int float64", "int32": "int64 int float64", "int64": "int", "int": "int64",
		"uint8":  "uint16 uint32 uint64 uint int16 int32 int64 int float64",
		"uint16": "uint32 uint64 uint int32 int64 int float64", "uint32": "uint64 uint int64 int float64", "uint64": "uint", "uint": "uint64",
		"float32": "float64", "float64": "", "complex64": "", "complex128": "",
	}
	if len(wider) != len(numberKinds) {
		t.Fatalf("%d kinds of numbers, of %d", len(wider), len(numberKinds))
	}
	for from, to := range wider {
		for kind := range wider {
			want := kind == from || slices.Contains(strings.Fields(to), kind)
			if err := Compatible(from, kind); (err == nil) != want {
				t.Errorf("%s as %s: got %v", from, kind, err)
			}
		}
	}
}

func TestCompatibleEntry(t *testing.T) {
	const old = "struct{Key struct{User string;Day int32};acc struct{Clicks []struct{Price int32}}}"
	for _, c := range []struct{ read, want string }{
		{old, ""},
		{"struct{acc struct{Clicks []struct{Price int64};Since time};Key struct{User string;Day int32}}", ""},
		{"struct{Key struct{User string;Day int32};acc struct{};touched time}", ""},
		{"struct{Key struct{User string;Day int32};acc struct{Clicks []struct{Price string}}}",
			"field Clicks[].Price was written as int32 and is to be read as string"},
		{"struct{Key struct{User string;Day int32};acc time}", "the value was written as struct{Clicks []struct{Price int32}} and"},
		{"struct{Key struct{User string;Day int32};acc time;touched time}", "field acc was written as struct{Clicks"},
		{"struct{Key struct{User string;Day int64};acc struct{}}",
			"the key was written as struct{User string;Day int32} and is to be read as struct{User string;Day int64}: a key's type cannot change, because " +
				"the hash of its encoding decides which subtask has it; keep its type, or give the state another name"},
		{"struct{Key struct{Day int32;User string};acc struct{}}", "the key was written as"},
		{"struct{acc struct{}}", "an entry of keyed state has a key, but was"},
		{"[]", "what is to be read: "},
	} {
		err := CompatibleEntry(old, c.read)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("as %s: got %v\nexpected %s", c.read, err, c.want)
		}
	}
	if err := CompatibleEntry("", old); err != nil {
		t.Error(err)
	}
	if err := CompatibleEntry("struct{Key string;acc struct{}}", "struct{Key string;acc struct{N int}}"); err != nil {
		t.Error(err)
	}
	if err := CompatibleEntry("struct{Key struct{};acc struct{}}", "struct{Key struct{};acc struct{N int}}"); err == nil {
		t.Error("entries that took no bytes take some")
	}
}
