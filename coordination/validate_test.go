package coordination_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/perennial-io/perennial/coordination"
)

func TestCheckKey(t *testing.T) {
	for _, key := range []string{"incarnation", "jobs/1f/intent", "a.b/..c/d-e_f", "größe"} {
		if err := coordination.CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q): %v", key, err)
		}
		if err := coordination.CheckPrefix(key + "/"); err != nil {
			t.Errorf("CheckPrefix(%q): %v", key+"/", err)
		}
	}
	for _, key := range []string{"", "/", "/a", "a/", "a//b", "a/./b", "..", "a\x00b", "a\nb", "a\xff"} {
		if err := coordination.CheckKey(key); err == nil {
			t.Errorf("CheckKey(%q) accepts it", key)
		}
	}
	if err := coordination.CheckPrefix("jobs"); err == nil {
		t.Error("CheckPrefix accepts a prefix without a slash at its end")
	}
}

func TestCheckOps(t *testing.T) {
	half := make([]byte, coordination.MaxValue/2)
	for _, test := range []struct {
		ops  []coordination.Op
		want string // part of the error; "": none
	}{
		{[]coordination.Op{coordination.Create("a", half), coordination.Set("b", half, 1), coordination.Delete("c", 1)}, ""},
		{nil, "commit of nothing"},
		{[]coordination.Op{coordination.Create("a", nil), coordination.Check("a", 1)}, `"a" twice`},
		{[]coordination.Op{coordination.Create("/a", nil)}, `"/a" is no key`},
		{[]coordination.Op{{Key: "a"}}, "unknown kind"},
		{[]coordination.Op{coordination.Create("a", half), coordination.Create("b", half), coordination.Create("c", []byte{1})}, "too large"},
	} {
		err := coordination.CheckOps(test.ops)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("CheckOps(%d ops): %v, want %q", len(test.ops), err, test.want)
		}
	}
	if err := coordination.CheckSize("x", coordination.MaxValue+1); !errors.Is(err, coordination.ErrTooLarge) {
		t.Errorf("CheckSize: %v, want ErrTooLarge", err)
	}
}
