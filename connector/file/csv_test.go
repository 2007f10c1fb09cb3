package file

import (
	"encoding/csv"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// measurement has every kind of field that is written without an allocation.
type measurement struct {
	Name  string
	Small int8
	Count int64
	Size  uint32
	Ratio float64
	Low   float32
	OK    bool
	At    time.Time
	Tag   *string
}

func newMeasurement(i int) measurement {
	return measurement{
		Name: "sensor, \"left\"", Small: int8(i), Count: int64(i) << 40, Size: uint32(i), Ratio: float64(i) / 7,
		Low: float32(i) * 1e10, OK: i%2 == 0, At: time.Unix(int64(i)*1e3, 123).UTC(),
	}
}

func encodeCSV[T any](t testing.TB, format csvFormat, records ...T) string {
	t.Helper()
	e, err := newCSVEncoder[T](format)
	if err != nil {
		t.Fatal(err)
	}
	text, err := e.appendRecords(slices.Clone(e.header()), records)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCSV(t *testing.T) {
	type place struct {
		Lat, Lon float64
	}
	type event struct {
		place
		ID      uint64        `csv:"id"`
		Took    time.Duration `csv:"took, in all"`
		Addr    netip.Addr
		Skipped chan int `csv:"-"`
		private int
		Maybe   *int
	}
	at := time.Date(2026, 11, 23, 6, 7, 8, 90, time.FixedZone("", 3600))
	seven := 7
	tests := []struct{ name, got, want string }{
		{"struct", encodeCSV(t, csvFormat{}, event{place{1.5, -2}, 9, 90 * time.Second, netip.MustParseAddr("::1"), nil, 0, &seven}),
			"Lat,Lon,id,\"took, in all\",Addr,Maybe\n1.5,-2,9,1m30s,::1,7\n"},
		{"nil is empty", encodeCSV(t, csvFormat{noHeader: true}, event{}), "0,0,0,0s,,\n"},
		{"string", encodeCSV(t, csvFormat{}, "a", "", "b,c", `say "x"`, "two\nlines", " pad"),
			"value\na\n\"\"\n\"b,c\"\n\"say \"\"x\"\"\"\n\"two\nlines\"\n\" pad\"\n"},
		{"time", encodeCSV(t, csvFormat{}, at), "value\n2026-11-23T06:07:08.00000009+01:00\n"},
		{"text marshaler", encodeCSV(t, csvFormat{}, netip.MustParseAddr("10.0.0.1")), "value\n10.0.0.1\n"},
		{"floats", encodeCSV(t, csvFormat{noHeader: true}, 0, 1e6, 1e20, 1e21, 1e-6, 1e-7, -0.1, math.Inf(1), math.NaN()),
			"0\n1000000\n100000000000000000000\n1e+21\n0.000001\n1e-7\n-0.1\n+Inf\nNaN\n"},
		{"small floats", encodeCSV(t, csvFormat{noHeader: true}, float32(0.1)), "0.1\n"},
		{"ints", encodeCSV(t, csvFormat{noHeader: true}, math.MinInt64, math.MaxInt64), "-9223372036854775808\n9223372036854775807\n"},
		{"pointer", encodeCSV(t, csvFormat{noHeader: true}, &seven, nil), "7\n\"\"\n"},
		{"bool", encodeCSV(t, csvFormat{noHeader: true}, true, false), "true\nfalse\n"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s:\n%q, want\n%q", test.name, test.got, test.want)
		}
	}
}

func TestCSVRefusesTypes(t *testing.T) {
	type inner struct{ Tags []string }
	type base struct{ M map[string]int }
	tests := []struct {
		err  error
		want string
	}{
		{refusedCSV[struct{ In inner }](), "field In of type file.inner cannot be written as CSV"},
		{refusedCSV[struct {
			A int
			B []string
		}](), "field B of type []string"},
		{refusedCSV[struct{ base }](), "field base.M of type map[string]int"},
		{refusedCSV[struct{ F any }](), "field F of type interface {}"},
		{refusedCSV[struct{ P **int }](), "field P of type **int"},
		{refusedCSV[[]int](), "records of type []int"},
		{refusedCSV[struct{ a int }](), "no exported field"},
		{refusedCSV[struct{}](), "no exported field"},
		{refusedCSV[struct {
			A int
			B int `csv:"A"`
		}](), `two columns are named "A"`},
	}
	for _, test := range tests {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%v, want %q", test.err, test.want)
		}
	}
}

// refusedCSV is what a job that writes T is told when it is planned.
func refusedCSV[T any]() error {
	return CSV[T]("out").(sink[T]).Check(subtask("", 0, 1))
}

// Whatever the text, encoding/csv reads back what was written.
func FuzzCSV(f *testing.F) {
	f.Add("a", "b", int64(1))
	f.Add("", "", int64(0))
	f.Add(`"`, "a,\"b\"\r\n\xff", int64(-1))
	f.Add(`\.`, " \t", int64(math.MinInt64))
	type record struct {
		A     string
		Count int64
		B     string
	}
	f.Fuzz(func(t *testing.T, a, b string, n int64) {
		want := []record{{a, n, b}, {b, -n, a}}
		rows, err := csv.NewReader(strings.NewReader(encodeCSV(t, csvFormat{}, want...))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		got := [][]string{{"A", "Count", "B"}}
		for _, r := range want {
			got = append(got, []string{asRead(r.A), encodeInt(r.Count), asRead(r.B)})
		}
		if !reflect.DeepEqual(rows, got) {
			t.Errorf("read back %q, want %q", rows, got)
		}
		one, err := csv.NewReader(strings.NewReader(encodeCSV(t, csvFormat{noHeader: true}, a, b))).ReadAll()
		if err != nil || !reflect.DeepEqual(one, [][]string{{asRead(a)}, {asRead(b)}}) {
			t.Errorf("one column read back as %q, %v, want %q and %q", one, err, a, b)
		}
	})
}

// asRead is what encoding/csv's reader makes of a quoted s: it takes every \r\n for a \n.
func asRead(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func encodeInt(n int64) string {
	text, _ := appendInt[int64](nil, ptr(&n))
	return string(text)
}
