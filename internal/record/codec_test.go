package record

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

type inner struct {
	A int8
	B float32
}

type hidden struct {
	word string
	n    int
}

type embedding struct {
	inner
	*hidden
	_    int64
	Last string
}

type numbers struct {
	A    int
	B    uint16
	C, D uint8
	E    int32
	F    float64
	G    complex64
	H    [3]uint64
}

type padded struct {
	A uint8
	B uint64
	C uint16
}

type everything struct {
	Bool    bool
	Int     int
	Small   int16
	Uint    uint
	F       float64
	C       complex128
	S       string
	Bytes   []byte
	Strings []string
	Plain   []numbers
	Nested  [][]inner
	Array   [2]string
	Map     map[string][]int
	Keys    map[inner]string
	P       *string
	PP      **int
	Empty   struct{}
	Empties []struct{}
	E       embedding
	unseen  string
}

type tree struct {
	Name string
	Kids []tree
	Up   *tree
	By   map[string]*tree
}

// celsius brings its own encoding.
type celsius struct{ tenths int }

func (c celsius) AppendBinary(b []byte) ([]byte, error) { return fmt.Appendf(b, "%d", c.tenths), nil }
func (c celsius) MarshalBinary() ([]byte, error)        { return c.AppendBinary(nil) }
func (c *celsius) UnmarshalBinary(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%d", &c.tenths)
	return err
}

// reading has the methods of celsius, which know nothing of Where.
type reading struct {
	celsius
	Where string
}

// broken cannot be encoded.
type broken struct{ N int }

func (broken) MarshalBinary() ([]byte, error) { return nil, errors.New("out of order") }
func (*broken) UnmarshalBinary([]byte) error  { return nil }

func codecOf[T any](t testing.TB) *Codec[T] {
	t.Helper()
	c, err := CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// roundTrip checks that records come back, by every way of encoding and decoding.
func roundTrip[T any](t *testing.T, records ...T) {
	t.Helper()
	c := codecOf[T](t)
	frame := c.Append([]byte("before"), records)[len("before"):]
	for _, dst := range [][]T{nil, make([]T, 1, 3), make([]T, len(records)+2)} {
		got, err := c.Decode(frame, dst)
		if err != nil {
			t.Fatalf("%T: %v", records, err)
		}
		if len(got) != len(records) || len(got) > 0 && !reflect.DeepEqual(got, records) {
			t.Errorf("%T: got %+v, expected %+v", records, got, records)
		}
	}
	for i, r := range records {
		if clone := c.Clone(r); !reflect.DeepEqual(clone, r) {
			t.Errorf("the clone of record %d is %+v, expected %+v", i, clone, r)
		}
	}
	checkTruncated(t, c, frame)
}

// checkTruncated checks that no part of a frame passes for a whole one.
func checkTruncated[T any](t *testing.T, c *Codec[T], frame []byte) {
	t.Helper()
	step := max(1, len(frame)/300)
	for n := 0; n < len(frame); n += step {
		if got, err := c.Decode(frame[:n:n], nil); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%T: %d of %d bytes decode to %d records, %v", got, n, len(frame), len(got), err)
		}
	}
	if _, err := c.Decode(append(bytes.Clone(frame), 0), nil); !errors.Is(err, ErrMalformed) {
		t.Fatalf("a byte too many: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestRoundTrip(t *testing.T) {
	roundTrip[int](t)
	roundTrip(t, 1, -1, math.MaxInt, math.MinInt)
	roundTrip(t, uint(0), math.MaxUint)
	roundTrip(t, int8(-1))
	roundTrip(t, uint16(1), 65535)
	roundTrip(t, float32(1.5), float32(math.Inf(-1)))
	roundTrip(t, complex(1, -2))
	roundTrip(t, true, false)
	roundTrip(t, "", "a", strings.Repeat("long ", 1000))
	roundTrip(t, []byte(nil), []byte{}, []byte("bytes"))
	roundTrip(t, []string(nil), []string{}, []string{"", "b"})
	roundTrip(t, [2]bool{true, false})
	roundTrip(t, [0]int{})
	roundTrip(t, struct{}{}, struct{}{})
	roundTrip(t, ptr(1), nil, ptr(3))
	roundTrip(t, map[string]int(nil), map[string]int{}, map[string]int{"a": 1, "b": 2})
	roundTrip(t, map[[2]int8]struct{}{{1, 2}: {}})
	roundTrip(t, numbers{A: -5, B: 1, C: 2, D: 3, E: -4, F: 1e300, G: 1i, H: [3]uint64{1, 2, 3}}, numbers{})
	roundTrip(t, padded{1, 2, 3}, padded{255, math.MaxUint64, 65535})
	roundTrip(t, hidden{"word", 7})
	roundTrip(t, embedding{inner{1, 2}, &hidden{"x", 3}, 0, "end"}, embedding{})
	roundTrip(t, everything{}, everything{Strings: []string{"a"}, PP: ptr(ptr(4)), Empties: make([]struct{}, 9), unseen: "kept"})
	roundTrip(t, tree{Name: "root", Kids: []tree{{Name: "a", Up: &tree{Name: "b"}}, {}}, By: map[string]*tree{"c": {Name: "d"}, "nil": nil}})
	roundTrip(t, celsius{215}, celsius{-40})
	roundTrip(t, &celsius{1}, nil)
	roundTrip(t, reading{celsius{1}, "attic"})
	roundTrip(t, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"))
	roundTrip(t, *big.NewInt(-7), *new(big.Int).Lsh(big.NewInt(1), 300))
}

func TestRandomRoundTrip(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 300 {
		var es []everything
		var ns []numbers
		for range random.Intn(5) {
			v, ok := quick.Value(reflect.TypeFor[visible](), random)
			if !ok {
				t.Fatal("no value")
			}
			es = append(es, v.Interface().(visible).everything())
			n, _ := quick.Value(reflect.TypeFor[numbers](), random)
			ns = append(ns, n.Interface().(numbers))
		}
		c := codecOf[everything](t)
		got, err := c.Decode(c.Append(nil, es), nil)
		if err != nil || len(es) > 0 && !reflect.DeepEqual(got, es) {
			t.Fatalf("got %+v, %v; expected %+v", got, err, es)
		}
		roundTrip(t, ns...)
	}
}

// visible is the part of everything that package quick can make up.
type visible struct {
	Bool    bool
	Int     int
	C       complex128
	S       string
	Bytes   []byte
	Strings []string
	Plain   []numbers
	Nested  [][]inner
	Array   [2]string
	Map     map[string][]int
	Keys    map[inner]string
	P       *string
	PP      **int
}

func (v visible) everything() everything {
	return everything{Bool: v.Bool, Int: v.Int, C: v.C, S: v.S, Bytes: v.Bytes, Strings: v.Strings, Plain: v.Plain,
		Nested: v.Nested, Array: v.Array, Map: v.Map, Keys: v.Keys, P: v.P, PP: v.PP, unseen: v.S}
}

// TestPlainForm checks that one copy of memory gives the bytes of the form field by field.
func TestPlainForm(t *testing.T) {
	c := codecOf[numbers](t)
	if !c.program.plain {
		t.Skip("not on this architecture")
	}
	records := []numbers{{A: 1, B: 2, C: 3, D: 4, E: 5, F: 6, G: 7, H: [3]uint64{8, 9, 10}}, {A: -1}}
	want := []byte{2, 0, 0, 0}
	for i := range records {
		v := reflect.ValueOf(&records[i]).Elem()
		for j := range v.NumField() {
			p, err := compile(v.Field(j).Type())
			if err != nil {
				t.Fatal(err)
			}
			want = p.append(want, v.Field(j).Addr().UnsafePointer(), 0)
		}
	}
	if got := c.Append(nil, records); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nexpected %x", got, want)
	}
}

// TestEncoding pins the bytes: processes of two builds may talk to each other.
func TestEncoding(t *testing.T) {
	type sample struct {
		A int32
		B bool
		C string
		D []uint16
		E map[string]int8
		F *uint8
		T time.Time
	}
	got := codecOf[sample](t).Append(nil, []sample{{-2, true, "hé", []uint16{1, 2}, map[string]int8{"k": -1}, ptr(uint8(9)), time.Unix(1, 2).UTC()}})
	want := "01000000" + "feffffff" + "01" + "0368c3a9" + "03" + "0100" + "0200" + "02" + "016b" + "ff" + "0109" +
		"0100000000000000" + "02000000" + "00000080"
	if fmt.Sprintf("%x", got) != want {
		t.Errorf("got %x, expected %s", got, want)
	}
}

func TestTime(t *testing.T) {
	c := codecOf[time.Time](t)
	zone := time.FixedZone("somewhere", -(5*3600 + 1800))
	for _, want := range []time.Time{{}, time.Unix(0, 0).UTC(), time.Now(), time.Unix(-1, 999999999).In(zone), time.Unix(1<<40, 0).UTC()} {
		got, err := c.Decode(c.Append(nil, []time.Time{want}), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, offset := got[0].Zone()
		if _, wantOffset := want.Zone(); !got[0].Equal(want) || offset != wantOffset {
			t.Errorf("got %v, expected %v", got[0], want)
		}
		if want.Location() == time.UTC && got[0] != want.Round(0) {
			t.Errorf("%#v is not the same value as %#v", got[0], want)
		}
	}
}

func TestSchema(t *testing.T) {
	type renamed padded
	for schema, got := range map[string]string{
		"struct{A uint8;B uint64;C uint16}":                                   codecOf[padded](t).Schema(),
		"struct{Name string;Kids []^2;Up *^2;By map[string]*^3}":              codecOf[tree](t).Schema(),
		`binary("github.com/perennial-io/perennial/internal/record.celsius")`: codecOf[celsius](t).Schema(),
		"map[string][2]time": codecOf[map[string][2]time.Time](t).Schema(),
		"struct{inner struct{A int8;B float32};hidden *struct{word string;n int};Last string}": codecOf[embedding](t).Schema(),
	} {
		if got != schema {
			t.Errorf("got %s, expected %s", got, schema)
		}
	}
	if a, b := codecOf[renamed](t).Schema(), codecOf[padded](t).Schema(); a != b {
		t.Errorf("%s and %s have the same encoding", a, b)
	}
}

func TestRefused(t *testing.T) {
	type deep struct {
		A struct{ B []map[string]chan int }
	}
	type callback struct{ F func() }
	type loose struct{ V any }
	type blank struct{ _ int }
	for want, err := range map[string]error{
		"type record.deep cannot be carried: field A.B[][] is a chan int, which means something in its own process only; leave it out of the record": errOf(CodecOf[deep]()),
		"type record.callback cannot be carried: field F is a func(), which means":                                                                   errOf(CodecOf[callback]()),
		"type record.loose cannot be carried: field V is an interface {}, and a record's type must be known":                                         errOf(CodecOf[loose]()),
		"type error cannot be carried: it is an error (interface), and":                                                                              errOf(CodecOf[error]()),
		"type [][]record.blank cannot be carried: field [] is a []record.blank, whose elements have blank fields only":                               errOf(CodecOf[[][]blank]()),
		"type []uintptr cannot be carried: field [] is a uintptr":                                                                                    errOf(CodecOf[[]uintptr]()),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v\nexpected %s", err, want)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestAppendUpTo(t *testing.T) {
	c := codecOf[string](t)
	records := []string{strings.Repeat("a", 100), "b", strings.Repeat("c", 100), "d"}
	var got []string
	for left := records; len(left) > 0; {
		frame, n, err := c.AppendUpTo([]byte("head"), left, 50)
		if err != nil || n < 1 || len(frame) > 4+50+102 {
			t.Fatalf("%d records in %d bytes, %v", n, len(frame), err)
		}
		part, err := c.Decode(frame[4:], nil)
		if err != nil || len(part) != n {
			t.Fatalf("%d records decoded of %d, %v", len(part), n, err)
		}
		got, left = append(got, part...), left[n:]
	}
	if !reflect.DeepEqual(got, records) {
		t.Errorf("got %q", got)
	}
	if _, n, err := codecOf[numbers](t).AppendUpTo(nil, make([]numbers, 10), 1); n != 1 || err != nil {
		t.Errorf("%d plain records, %v; expected one", n, err)
	}
	if _, _, err := codecOf[broken](t).AppendUpTo(nil, make([]broken, 1), 1); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v", err)
	}
}

func TestEndlessRecord(t *testing.T) {
	loop := &tree{Name: "loop"}
	loop.Up = loop
	if _, _, err := codecOf[*tree](t).AppendUpTo(nil, []*tree{loop}, 1<<30); err == nil || !strings.Contains(err.Error(), "point to itself") {
		t.Errorf("got %v", err)
	}
	// one level of *tree is: present, empty name, nil, present …
	frame := append([]byte{1, 0, 0, 0}, bytes.Repeat([]byte{1, 0, 0}, 1<<20)...)
	if _, err := codecOf[*tree](t).Decode(frame, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// TestCloneSharesNothing changes every byte that a clone's original refers to.
func TestCloneSharesNothing(t *testing.T) {
	type record struct {
		B []byte
		P *int
		M map[string][]int
		L [][]int
	}
	c := codecOf[record](t)
	old := record{[]byte("abc"), ptr(1), map[string][]int{"k": {1}}, [][]int{{1}}}
	clone := c.Clone(old)
	old.B[0], *old.P, old.M["k"][0], old.L[0][0] = 'x', 2, 2, 2
	old.M["new"] = nil
	if want := (record{[]byte("abc"), ptr(1), map[string][]int{"k": {1}}, [][]int{{1}}}); !reflect.DeepEqual(clone, want) {
		t.Errorf("got %+v, expected %+v", clone, want)
	}
}

// TestAllocations: a batch that is encoded and decoded costs none, or that of its strings.
func TestAllocations(t *testing.T) {
	n := codecOf[padded](t)
	records, frame := make([]padded, 300), []byte(nil)
	if got := testing.AllocsPerRun(50, func() {
		frame = n.Append(frame[:0], records)
		if _, err := n.Decode(frame, records); err != nil {
			t.Error(err)
		}
	}); got > 0.5 {
		t.Errorf("%v allocations per batch of numbers", got)
	}
	s := codecOf[string](t)
	words := []string{"a", "bc", "def"}
	if got := testing.AllocsPerRun(50, func() {
		frame = s.Append(frame[:0], words)
		if _, err := s.Decode(frame, words); err != nil {
			t.Error(err)
		}
	}); got > 1.5 {
		t.Errorf("%v allocations per batch of strings; expected one copy of the frame", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{255, 255, 255, 255, 1, 1, 1})
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		decodes[everything](t, frame)
		decodes[tree](t, frame)
		decodes[padded](t, frame)
		decodes[reading](t, frame)
		decodes[[]struct{}](t, frame)
		decodes[time.Time](t, frame)
	})
}

func seeds(f *testing.F) [][]byte {
	return [][]byte{
		codecOf[everything](f).Append(nil, []everything{{Strings: []string{"a"}, Map: map[string][]int{"k": {1}}, PP: ptr(ptr(4))}}),
		codecOf[tree](f).Append(nil, []tree{{Name: "root", Kids: make([]tree, 2), By: map[string]*tree{"c": {}}}}),
		codecOf[padded](f).Append(nil, make([]padded, 2)),
		codecOf[reading](f).Append(nil, []reading{{celsius{1}, "attic"}}),
		codecOf[[]struct{}](f).Append(nil, [][]struct{}{make([]struct{}, 5)}),
		codecOf[time.Time](f).Append(nil, []time.Time{time.Unix(1, 2)}),
	}
}

// decodes checks that what decodes at all encodes to something that decodes to as many records.
func decodes[T any](t *testing.T, frame []byte) {
	c := codecOf[T](t)
	records, err := c.Decode(frame, nil)
	if err != nil {
		return
	}
	again, err := c.Decode(c.Append(nil, records), nil)
	if err != nil || len(again) != len(records) {
		t.Errorf("%d records came back as %d, %v", len(records), len(again), err)
	}
}
