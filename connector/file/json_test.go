package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"
)

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }

func encodeJSON[T any](records ...T) (string, error) {
	s := JSONLines[T]("out").(sink[T])
	if s.err != nil {
		return "", s.err
	}
	text, err := s.encode.appendRecords(nil, records)
	return string(text), err
}

// sameAsEncodingJSON compares with what encoding/json writes without escapes for HTML.
func sameAsEncodingJSON[T any](t *testing.T, records ...T) {
	t.Helper()
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	for i := range records {
		if err := e.Encode(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := encodeJSON(records...); err != nil || got != want.String() {
		t.Errorf("%T:\n%s%v, want\n%s", records, got, err, want.String())
	}
}

type tree struct {
	Value    int
	Children []tree
	Parent   *tree
}

type celsius float64

func (c celsius) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%q", fmt.Sprint(float64(c), "°")), nil
}

type shout string

func (s *shout) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(*s))), nil }

func TestJSONIsThatOfEncodingJSON(t *testing.T) {
	type point struct{ X, Y int }
	type embeds struct {
		point
		Z int
	}
	type everything struct {
		Name    string `json:"name"`
		private int
		Gone    string `json:"-"`
		Dash    string `json:"-,"` //nolint:staticcheck // SA5008: encoding/json reads it so, and so must we
		Omitted int    `json:"omitted,omitempty"`
		Odd     int    `json:"a.b c"`
		P       *point
		Nil     *point
		Points  []point
		NoPts   []point
		Arr     [2]bool
		Bytes   []byte
		M       map[string]point
		Any     any
		T       time.Time
		D       time.Duration
		Addr    netip.Addr
		C       celsius
		S       shout
	}
	type plain struct {
		Name   string `json:"name"`
		P      *point
		Nil    *point
		Points []point
		NoPts  []point
		Empty  []string
		Arr    [2]bool
		Bytes  []byte
		M      map[string]point
		Any    any
		T      time.Time
		D      time.Duration
		Addr   netip.Addr
		C      celsius
		S      shout
		PS     *shout
		E      embeds
		None   struct{}
	}
	at := time.Date(2026, 11, 23, 6, 7, 8, 90, time.FixedZone("", -5400))
	name := "\"quoted\" \\ \b\f\n\r\t\x00\x1f\x7f <b>&\u2028\u2029 ä€😀 \xff\xc3"
	sameAsEncodingJSON(t, everything{}, everything{Name: name, private: 1, Gone: "x", Dash: "d", Omitted: 1, P: &point{1, 2}, T: at})
	sameAsEncodingJSON(t, plain{}, plain{
		Name: name, P: &point{1, -2}, Points: []point{{1, 2}, {3, 4}}, Empty: []string{}, Bytes: []byte("bytes"),
		M: map[string]point{"b": {}, "a": {5, 6}}, Any: []int{1}, T: at, D: time.Second, Addr: netip.MustParseAddr("::1"),
		C: 1.5, S: "s", PS: new(shout), E: embeds{point{7, 8}, 9},
	})
	sameAsEncodingJSON(t, tree{1, []tree{{2, nil, nil}, {3, []tree{}, &tree{}}}, nil})
	sameAsEncodingJSON(t, 0, 1e6, 1e20, 1e21, 123e30, 1e-6, 1e-7, 1.5e-10, math.SmallestNonzeroFloat64, math.MaxFloat64, -0.1, math.Copysign(0, -1))
	sameAsEncodingJSON(t, float32(0.1), float32(1e-6), float32(1e21), float32(3e-9), math.MaxFloat32)
	sameAsEncodingJSON(t, math.MinInt64, math.MaxInt64)
	sameAsEncodingJSON(t, uint64(math.MaxUint64))
	sameAsEncodingJSON(t, int8(-1), int8(2))
	sameAsEncodingJSON[any](t, nil, 1, "x")
	sameAsEncodingJSON(t, true, false)
	sameAsEncodingJSON(t, map[int]string{2: "b", 1: "a"})
	sameAsEncodingJSON(t, newMeasurement(1), newMeasurement(1_000_001))
}

func TestJSONRefuses(t *testing.T) {
	type inner struct{ Done chan int }
	tests := []struct {
		err  error
		want string
	}{
		{refusedJSON(struct{ In []inner }{}), "field In[].Done of type chan int cannot be written as JSON"},
		{refusedJSON(struct{ F func() }{}), "field F of type func()"},
		{refusedJSON(struct{ M map[[2]int]int }{}), "field M of type map[[2]int]int"},
		{refusedJSON(struct{ M map[string]complex128 }{}), "field M[] of type complex128"},
		{refusedJSON(make(chan int)), "records of type chan int"},
		{refusedJSON(struct{ Ratio float64 }{math.NaN()}), "field Ratio: JSON has no number for NaN"},
		{refusedJSON(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)), "not 10000"},
	}
	for _, test := range tests {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%v, want %q", test.err, test.want)
		}
	}
}

func refusedJSON[T any](record T) error {
	_, err := encodeJSON(record)
	return err
}

// A record that cannot be written leaves no half of a line.
func TestFailedRecordLeavesNoText(t *testing.T) {
	type record struct {
		Name  string
		Ratio float64
	}
	text, err := encodeJSON(record{"a", 1}, record{"b", math.Inf(-1)})
	if err == nil || text != `{"Name":"a","Ratio":1}`+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("a", 1.0, int64(1))
	f.Add("\u2028\x00\xff\"\\", 1e-7, int64(-1))
	type record struct {
		S string
		F []float64
		N int64
	}
	f.Fuzz(func(t *testing.T, s string, x float64, n int64) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			t.Skip()
		}
		r := record{s, []float64{x, -x}, n}
		sameAsEncodingJSON(t, r)
		text, err := encodeJSON(r)
		var back record
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && back.S != s || err != nil || back.N != n || !reflect.DeepEqual(back.F, r.F) {
			t.Errorf("read back %v, %v, want %v", back, err, r)
		}
	})
}
