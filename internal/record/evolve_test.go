package record

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// evolves checks that what is written as Old is read as New.
func evolves[Old, New any](t *testing.T, written []Old, want ...New) {
	t.Helper()
	old, c := codecOf[Old](t), codecOf[New](t)
	from, err := c.From(old.Schema())
	if err != nil {
		t.Errorf("%T: %v", written, err)
		return
	}
	frame := old.Append(nil, written)
	used := make([]New, 0, len(want)+1)
	used = append(used, want...)
	for _, dst := range [][]New{nil, used} {
		got, err := from.Decode(frame, dst)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%T: got %+v, %v\nexpected %+v", written, got, err, want)
		}
	}
	for n := 0; n < len(frame); n += max(1, len(frame)/100) {
		if got, err := from.Decode(frame[:n:n], nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T: %d of %d bytes decode to %d records, %v", written, n, len(frame), len(got), err)
		}
	}
	if _, err := from.Decode(append(frame, 0), nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("%T: a byte too many: %v", written, err)
	}
}

type (
	visitV1 struct {
		Page  string
		Took  int32
		Score float32
		Tags  []string
		Old   map[string][]celsius
		Raw   []byte
		Where *place
		Parts [2]place
		Temp  celsius
		At    time.Time
	}
	visitV2 struct {
		Temp  celsius
		Where *placeV2
		Parts [2]placeV2
		Page  []byte
		Score float64
		Raw   string
		Took  int
		Tags  []*string
		New   map[string]int
		At    *time.Time
		More  uint8
	}
	place struct {
		Name string
		_    int64
		X, Y int16
	}
	placeV2 struct {
		X    int16
		Y    float64
		_    string
		Zoom int
		Name string
	}
	treeV2 struct {
		Weight int64
		By     map[string]**treeV2
		Kids   []treeV2
		Name   *string
	}
	treeUp struct { // what is every other one on the way up a tree
		Name string
		Up   *treeBetween
	}
	treeBetween struct {
		By map[string]*struct{ Name []byte }
		Up *treeUp
	}
)

func TestFrom(t *testing.T) {
	at := time.Unix(1, 2).UTC()
	evolves(t, []int8{-1, 127}, int64(-1), 127)
	evolves(t, []int{-1, math.MinInt}, int64(-1), math.MinInt)
	evolves(t, []uint8{1, 255}, int16(1), 255)
	evolves(t, []uint32{math.MaxUint32}, float64(math.MaxUint32))
	evolves(t, []int32{math.MinInt32}, float64(math.MinInt32))
	evolves(t, []float32{1.5, float32(math.Inf(-1))}, 1.5, math.Inf(-1))
	evolves(t, []string{"", "a"}, []byte{}, []byte("a"))
	evolves(t, [][]byte{nil, {}, []byte("a")}, "", "", "a")
	evolves(t, [][]byte{nil, {}, {255, 1}}, []int16(nil), []int16{}, []int16{255, 1})
	evolves(t, []bool{true}, ptr(ptr(true)))
	evolves(t, []*int8{nil, ptr(int8(-3))}, nil, ptr(ptr(-3)))
	evolves(t, [][]int{nil, {}, {1, 2}}, []int64(nil), []int64{}, []int64{1, 2})
	evolves(t, [][3]uint8{{1, 2, 3}}, [3]uint64{1, 2, 3})
	evolves(t, []map[string]struct{}{nil, {}, {"a": {}}}, map[string]struct{ N int }(nil), map[string]struct{ N int }{}, map[string]struct{ N int }{"a": {}})
	evolves(t, []padded{{1, 2, 3}}, struct {
		D bool
		C uint64
	}{C: 3})
	evolves(t, []padded{{1, 2, 3}}, struct{}{})
	evolves(t, []everything{{Bool: true, Strings: []string{"a"}, Map: map[string][]int{"k": {1}}, Nested: [][]inner{{{}}}, Empties: make([]struct{}, 3)}},
		struct{ Strings [][]byte }{[][]byte{[]byte("a")}})
	evolves(t, []visitV1{
		{Page: "p", Took: -5, Score: .5, Tags: []string{"x", ""}, Old: map[string][]celsius{"a": {{1}, {}}}, Raw: []byte("raw"),
			Where: &place{"here", 0, 1, -2}, Parts: [2]place{{"a", 0, 1, 2}, {}}, Temp: celsius{7}, At: at},
		{},
	},
		visitV2{Page: []byte("p"), Took: -5, Score: .5, Tags: []*string{ptr("x"), ptr("")}, Raw: "raw",
			Where: &placeV2{Name: "here", X: 1, Y: -2}, Parts: [2]placeV2{{Name: "a", X: 1, Y: 2}, {}}, Temp: celsius{7}, At: &at},
		visitV2{Page: []byte{}, At: &time.Time{}})
	evolves(t, []tree{{Name: "root", Kids: []tree{{Name: "a", Up: &tree{}}}, By: map[string]*tree{"c": {Name: "d"}, "nil": nil}}},
		treeV2{Name: ptr("root"), Kids: []treeV2{{Name: ptr("a")}}, By: map[string]**treeV2{"c": ptr(&treeV2{Name: ptr("d")}), "nil": nil}})
	var up treeUp
	up.Name, up.Up = "a", &treeBetween{By: map[string]*struct{ Name []byte }{"x": {[]byte("y")}, "nil": nil}, Up: &treeUp{Name: "c"}}
	evolves(t, []tree{{Name: "a", Up: &tree{Name: "b", By: map[string]*tree{"x": {Name: "y"}, "nil": nil}, Up: &tree{Name: "c", Kids: make([]tree, 2)}}}}, up)
}

func TestFromItself(t *testing.T) {
	c := codecOf[tree](t)
	for _, written := range []string{"", c.Schema()} {
		if d, err := c.From(written); err != nil || d != &c.Decoder {
			t.Errorf("got %v, %v, expected the codec's own", d, err)
		}
	}
	a, _ := codecOf[treeV2](t).From(c.Schema())
	b, _ := codecOf[treeV2](t).From(c.Schema())
	if a == nil || a.program != b.program {
		t.Error("one pair of a type and a schema was compiled twice")
	}
	if d, err := codecOf[int64](t).From("int"); err != nil || !d.program.plain {
		t.Errorf("int as int64 is not copied: %v", err)
	}
	if d, err := codecOf[struct{ A [0]int64 }](t).From("struct{A [0]int8}"); err != nil || !d.program.plain {
		t.Errorf("nothing takes time: %v", err)
	}
}

func TestFromRefuses(t *testing.T) {
	type entry struct {
		Key int64
		acc struct{ N int64 }
	}
	c := codecOf[entry](t)
	if _, err := c.From("struct{Key int64;acc struct{N float32}}"); err == nil || !strings.Contains(err.Error(), "field acc.N was written as float32") {
		t.Errorf("got %v", err)
	}
	if _, err := c.From("struct{Key int64;acc"); err == nil || !strings.Contains(err.Error(), "does not know the schema") {
		t.Errorf("got %v", err)
	}
	if _, err := c.From("struct{Key int32;acc struct{N int32}}"); err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := c.FromEntry("struct{Key int32;acc struct{N int32}}"); err == nil || !strings.Contains(err.Error(), "a key's type cannot change") {
		t.Errorf("got %v", err)
	}
	from, err := c.FromEntry("struct{acc struct{N int8};Key int64}")
	if err != nil {
		t.Fatal(err)
	}
	want := entry{Key: 7, acc: struct{ N int64 }{-1}}
	if got, err := from.Decode([]byte("\x01\x00\x00\x00\xff\x07\x00\x00\x00\x00\x00\x00\x00"), nil); err != nil || got[0] != want {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestMalformedSkipped: a field that is gone must still be one.
func TestMalformedSkipped(t *testing.T) {
	for written, value := range map[string]string{
		"*int8":           "\x02\x00",
		"string":          "\x05abcd",
		"[]time":          "\x03",
		"map[int8]string": "\x02\x00",
		`binary("a.T")`:   "\xff\xff\xff\xff",
	} {
		frame := []byte("\x01\x00\x00\x00" + value)
		if err := decodeFrom[struct{ B int8 }](t, "struct{A "+written+"}", frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", written, err)
		}
	}
}

// TestFits: a number that was written on a machine with wider integers than this one.
func TestFits(t *testing.T) {
	for _, c := range []struct {
		v      uint64
		signed bool
		want   bool
	}{
		{math.MaxInt32, true, true}, {math.MaxInt32 + 1, true, false}, {^uint64(0), true, true}, {^uint64(math.MaxInt32), true, true},
		{^uint64(math.MaxInt32 + 1), true, false}, {math.MaxUint32, false, true}, {math.MaxUint32 + 1, false, false},
	} {
		if got := fits(c.v, 4, c.signed); got != c.want {
			t.Errorf("%#x, signed %v: got %v", c.v, c.signed, got)
		}
	}
}

// TestFromEndlessRecord: what is read and what is skipped nests no deeper than a stack reaches.
func TestFromEndlessRecord(t *testing.T) {
	const written = "*struct{Name string;Next *^2}"
	type chain struct {
		Name []byte
		Next *chain
	}
	frame := append([]byte{1, 0, 0, 0}, []byte(strings.Repeat("\x01\x00", 1<<20))...)
	for _, err := range []error{decodeFrom[*chain](t, written, frame), decodeFrom[struct{ B int8 }](t, "struct{A "+written+"}", frame)} {
		if !errors.Is(err, ErrMalformed) || !errors.Is(err, errDeep) {
			t.Errorf("got %v", err)
		}
	}
}

// TestFromTakesMemoryAsItGoes: records and elements that have become large are not made room for until
// they are there.
func TestFromTakesMemoryAsItGoes(t *testing.T) {
	type flag struct{ A bool }
	type large struct {
		Big [1000]int64
		A   bool
	}
	flags, want := make([]flag, 1000), make([]large, 1000)
	for i := range flags {
		flags[i].A, want[i].A = i%3 == 0, i%3 == 0
	}
	evolves(t, flags, want...)
	evolves(t, [][]flag{flags}, want)
	evolves(t, []map[int][]flag{{1: flags, 2: {}}}, map[int][]large{1: want, 2: {}})

	written, many := codecOf[[]flag](t).Schema(), 1<<17
	twos := strings.Repeat("\x01", 100) + strings.Repeat("\x02", many-100)
	slice := binary.AppendUvarint([]byte{1, 0, 0, 0}, uint64(many+1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, err := range []error{
		decodeFrom[large](t, codecOf[flag](t).Schema(), append(binary.LittleEndian.AppendUint32(nil, uint32(many)), twos...)),
		decodeFrom[[]large](t, written, append(slice, twos...)),
	} {
		if !errors.Is(err, errValue) {
			t.Errorf("got %v", err)
		}
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 16<<20 {
		t.Errorf("%d bytes of memory were taken", after.TotalAlloc-before.TotalAlloc)
	}
}

func decodeFrom[T any](t *testing.T, written string, frame []byte) error {
	t.Helper()
	d, err := codecOf[T](t).From(written)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Decode(frame, nil)
	return err
}
