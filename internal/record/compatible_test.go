package record

import "testing"

func TestCompatible(t *testing.T) {
	for _, c := range []struct{ written, read, want string }{
		{"int8", "int64", ""},
		{"int64", "int8", "the value was written as int64 and is to be read as int8: int8 does not have every value of int64: keep its type, and add a field of another name or give the state another name"},
		{"struct{A int8;B string}", "struct{B []uint8;A int64;C time}", ""},
	} {
		got := ""
		if err := Compatible(c.written, c.read); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s as %s: got %q, expected %q", c.written, c.read, got, c.want)
		}
	}
}
