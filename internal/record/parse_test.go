package record

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// boxed brings its own encoding, and a name that may hold anything.
type boxed[T any] struct{}

func (boxed[T]) MarshalBinary() ([]byte, error) { return nil, nil }
func (*boxed[T]) UnmarshalBinary([]byte) error  { return nil }

func TestParse(t *testing.T) {
	if schema := codecOf[boxed[chan int]](t).Schema(); schema != `binary("github.com/perennial-io/perennial/internal/record.boxed[chan int]")` {
		t.Error(schema)
	}
	type self []self
	for _, schema := range append(schemas(t),
		codecOf[self](t).Schema(), codecOf[boxed[struct {
			A string `x:"}\")"`
		}]](t).Schema(), "struct{Größe int;_x2 bool}", "map[[2]uint8][0]struct{}", `[]binary("a\")\x00b")`) {
		s, err := parse(schema)
		if err != nil {
			t.Error(err)
		} else if got := s.String(); got != schema {
			t.Errorf("%s is printed as %s", schema, got)
		}
	}
}

func schemas(t testing.TB) []string {
	return []string{
		codecOf[everything](t).Schema(), codecOf[tree](t).Schema(), codecOf[reading](t).Schema(), codecOf[big.Int](t).Schema(),
		codecOf[[]map[string]*int](t).Schema(), codecOf[embedding](t).Schema(), codecOf[numbers](t).Schema(),
	}
}

func TestParseRefuses(t *testing.T) {
	for schema, want := range map[string]string{
		"":                                "byte 0: a type is missing",
		"go func()":                       "byte 0: a type is missing",
		"uintptr":                         "byte 0: a type is missing",
		"struct{A int8,B int8}":           `byte 13: ";" is missing`,
		"struct{A int8;}":                 "byte 14: a field's name is missing",
		"struct{A int8":                   `byte 13: ";" is missing`,
		"struct{A int8;A int8}":           "byte 15: a field's name is missing, or there twice",
		"struct{_ int8}":                  "byte 8: a field's name is missing",
		"struct{A}":                       `byte 8: " " is missing`,
		"int8 ":                           "byte 4: it goes on behind its end",
		"[]":                              "byte 2: a type is missing",
		"[01]int8":                        "byte 1: a number is missing",
		"[-1]int8":                        "byte 1: a number is missing",
		"[2int8":                          `byte 2: "]" is missing`,
		"[99999999999999999999]int":       "byte 1: a number is missing",
		"map[string":                      `byte 10: "]" is missing`,
		"^1":                              "byte 2: a reference to nothing",
		"[]^2":                            "byte 4: a reference to nothing",
		"[]^0":                            "byte 4: a reference to nothing",
		"struct{A ^1}":                    "byte 11: a type that contains itself",
		"struct{A [3]struct{B ^3}}":       "byte 23: a type that contains itself",
		"binary(record.celsius)":          "byte 7: a type in quotes is missing",
		"binary(`a`)":                     "byte 7: a type in quotes is missing",
		`binary("a"`:                      `byte 10: ")" is missing`,
		strings.Repeat("*", 2000) + "int": "byte 200: it is nested too deep",
	} {
		if _, err := parse(schema); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: got %v, expected %s", schema, err, want)
		}
	}
}

// TestPartOfSchema: a part is printed with all that it refers to, in reasonable time.
func TestPartOfSchema(t *testing.T) {
	const depth = 60
	var schema strings.Builder
	for i := range depth {
		schema.WriteString("*struct{L struct{")
		for j := range i {
			fmt.Fprintf(&schema, "A%d *^%d;", j, 2*j+3)
		}
		schema.WriteString("B *int8};N ")
	}
	schema.WriteString("bool" + strings.Repeat("}", depth))
	s, err := parse(schema.String())
	if err != nil {
		t.Fatal(err)
	}
	for range depth - 1 {
		s = s.elem.field("N")
	}
	if got := s.brief(); len(got) < 100 || len(got) > 130 {
		t.Errorf("got %s", got)
	}
}

// FuzzParse: what is a schema is printed as it was read, and is itself.
func FuzzParse(f *testing.F) {
	for _, schema := range schemas(f) {
		f.Add(schema)
	}
	f.Add("struct{A [3]struct{B *^3}}")
	f.Add(`map[binary("a\")")]^1`)
	f.Fuzz(func(t *testing.T, schema string) {
		s, err := parse(schema)
		if err != nil {
			return
		}
		if got := s.String(); got != schema {
			t.Errorf("%q is printed as %q", schema, got)
		}
		if n := s.least(); n < 0 {
			t.Errorf("%q takes %d bytes", schema, n)
		}
		again, _ := parse(schema)
		if err := compatible(s, again); err != nil || !same(s, again) {
			t.Errorf("%q is not itself: %v", schema, err)
		}
		(&evolver{skips: map[*shape]*program{}}).skip(s).decode(&decoder{rest: []byte(schema)}, nil)
	})
}
