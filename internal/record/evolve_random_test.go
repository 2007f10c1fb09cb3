package record

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// dice makes up types, values of them, and the types that they become.
type dice struct{ *rand.Rand }

func diceOf(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 1))} }

var (
	simple = []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](), reflect.TypeFor[celsius](),
		reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
		reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
		reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[complex64](), reflect.TypeFor[struct{}](),
	}
	keys = []reflect.Type{
		reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[[2]int8](), reflect.TypeFor[compositeKey](), reflect.TypeFor[struct{}](),
	}
)

func (d dice) of(types []reflect.Type) reflect.Type { return types[d.IntN(len(types))] }

func (d dice) typ(depth int) reflect.Type {
	if depth == 0 {
		return d.of(simple)
	}
	switch d.IntN(7) {
	case 0:
		return d.of(simple)
	case 1:
		return reflect.PointerTo(d.typ(depth - 1))
	case 2:
		return reflect.SliceOf(d.typ(depth - 1))
	case 3:
		return reflect.ArrayOf(d.IntN(4), d.typ(depth-1))
	case 4:
		return reflect.MapOf(d.of(keys), d.typ(depth-1))
	}
	var fields []reflect.StructField
	for _, name := range d.Perm(6)[:d.IntN(5)] {
		fields = append(fields, d.field(string(rune('A'+name)), d.typ(depth-1)))
	}
	return reflect.StructOf(fields)
}

func (d dice) field(name string, t reflect.Type) reflect.StructField {
	return reflect.StructField{Name: name, Type: t}
}

// become returns a type that values of t can be read as, unless they took no bytes.
func (d dice) become(t reflect.Type) reflect.Type {
	if d.IntN(12) == 0 {
		return reflect.PointerTo(d.become(t))
	}
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[celsius]():
		return t
	case reflect.TypeFor[[]byte]():
		return []reflect.Type{t, reflect.TypeFor[string](), reflect.TypeFor[[]uint16]()}[d.IntN(3)]
	}
	switch t.Kind() {
	case reflect.String:
		return []reflect.Type{t, reflect.TypeFor[[]byte]()}[d.IntN(2)]
	case reflect.Pointer:
		return reflect.PointerTo(d.become(t.Elem()))
	case reflect.Slice:
		return reflect.SliceOf(d.become(t.Elem()))
	case reflect.Array:
		return reflect.ArrayOf(t.Len(), d.become(t.Elem()))
	case reflect.Map:
		return reflect.MapOf(t.Key(), d.become(t.Elem()))
	case reflect.Struct:
		return d.becomeStruct(t)
	}
	for to := d.of(simple); ; to = d.of(simple) {
		if to == t || widens(t.Kind().String(), to.Kind().String()) {
			return to
		}
	}
}

func (d dice) becomeStruct(t reflect.Type) reflect.Type {
	var fields []reflect.StructField
	for _, i := range d.Perm(t.NumField()) {
		if d.IntN(5) > 0 {
			fields = append(fields, d.field(t.Field(i).Name, d.become(t.Field(i).Type)))
		}
		if d.IntN(5) == 0 {
			fields = append(fields, d.field("New"+t.Field(i).Name, d.typ(1)))
		}
	}
	return reflect.StructOf(fields)
}

func (d dice) value(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t {
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Unix(d.Int64N(1<<40)-1<<39, d.Int64N(1e9)).UTC())
	case reflect.TypeFor[celsius]():
		return reflect.ValueOf(celsius{d.IntN(100)})
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(d.IntN(2) == 0)
	case reflect.String:
		v.SetString(strings.Repeat("é", d.IntN(4)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(float32(d.NormFloat64())))
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(complex(1, float64(d.IntN(9))))
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(d.value(t.Field(i).Type))
		}
	case reflect.Array:
		for i := range t.Len() {
			v.Index(i).Set(d.value(t.Elem()))
		}
	case reflect.Slice, reflect.Map, reflect.Pointer:
		if d.IntN(4) > 0 {
			d.fill(v)
		}
	default:
		if v.CanInt() {
			v.SetInt(int64(d.Uint64()) >> (64 - t.Bits()))
		} else {
			v.SetUint(d.Uint64() >> (64 - t.Bits()))
		}
	}
	return v
}

// fill makes v refer to something.
func (d dice) fill(v reflect.Value) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(d.value(t.Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(t, d.IntN(4), 4).Slice3(0, 0, 4))
		for range d.IntN(4) {
			v.Set(reflect.Append(v, d.value(t.Elem())))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		for range d.IntN(4) {
			v.SetMapIndex(d.value(t.Key()), d.value(t.Elem()))
		}
	}
}

// as is v as a value of another type, by the rules, in other words than the codec's.
func as(v reflect.Value, to reflect.Type) reflect.Value {
	out := reflect.New(to).Elem()
	switch {
	case v.Type() == to:
		return v
	case to.Kind() == reflect.Pointer && v.Kind() != reflect.Pointer:
		out.Set(reflect.New(to.Elem()))
		out.Elem().Set(as(v, to.Elem()))
		return out
	case v.Kind() == reflect.String, to.Kind() == reflect.String:
		return v.Convert(to)
	}
	switch to.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(to.Elem()))
			out.Elem().Set(as(v.Elem(), to.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(to, v.Len(), v.Len()))
			asElements(out, v)
		}
	case reflect.Array:
		asElements(out, v)
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(to))
			for key, value := range v.Seq2() {
				out.SetMapIndex(key, as(value, to.Elem()))
			}
		}
	case reflect.Struct:
		for i := range to.NumField() {
			if f := v.FieldByName(to.Field(i).Name); f.IsValid() {
				out.Field(i).Set(as(f, to.Field(i).Type))
			}
		}
	default:
		return v.Convert(to)
	}
	return out
}

func asElements(out, v reflect.Value) {
	for i := range v.Len() {
		out.Index(i).Set(as(v.Index(i), out.Type().Elem()))
	}
}

// evolvedTo compiles the way from one type to another.
func evolvedTo(t *testing.T, from, to reflect.Type) (w *program, r *program, err error) {
	t.Helper()
	w, err = compiled(from)
	if err != nil {
		t.Fatal(err)
	}
	own, err := compiled(to)
	if err != nil {
		t.Fatal(err)
	}
	r, err = evolved(to, w.schema, own.schema)
	if ruled := Compatible(w.schema, own.schema); (ruled == nil) != (err == nil) || err != nil && err.Error() != ruled.Error() {
		t.Fatalf("%s as %s: %v, but %v", w.schema, own.schema, err, ruled)
	}
	return w, r, err
}

func decodeOne(p *program, t reflect.Type, body []byte) (reflect.Value, *decoder, bool) {
	d, v := &decoder{rest: body, frame: body}, reflect.New(t)
	ok := p.decode(d, v.UnsafePointer())
	return v.Elem(), d, ok
}

// TestRandomEvolution: values of made-up types arrive in what those types became.
func TestRandomEvolution(t *testing.T) {
	read := 0
	for seed := range uint64(1500) {
		d := diceOf(seed)
		from := d.typ(3)
		to := d.become(from)
		w, r, err := evolvedTo(t, from, to)
		if err != nil {
			if !strings.Contains(err.Error(), "what had no content") {
				t.Errorf("seed %d: %v", seed, err)
			}
			continue
		}
		for range 3 {
			value := reflect.New(from)
			value.Elem().Set(d.value(from))
			body := w.append(nil, value.UnsafePointer(), 0)
			got, rest, ok := decodeOne(r, to, body)
			if want := as(value.Elem(), to); !ok || len(rest.rest) > 0 || !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Fatalf("seed %d: %v as %v: got %+v, %v, expected %+v", seed, from, to, got, rest.err, want)
			}
			read++
		}
	}
	if read < 3000 {
		t.Errorf("only %d values were read", read)
	}
}

// TestUnrelatedTypes: what is compatible by chance compiles too.
func TestUnrelatedTypes(t *testing.T) {
	read := 0
	for seed := range uint64(5000) {
		d := diceOf(seed)
		if _, _, err := evolvedTo(t, d.typ(2), d.typ(2)); err == nil {
			read++
		}
	}
	if read < 50 {
		t.Errorf("only %d are compatible", read)
	}
}

// FuzzFrom decodes what is damaged or was made up, under made-up pairs of types.
func FuzzFrom(f *testing.F) {
	for seed := range uint16(64) {
		f.Add(seed, false, []byte{})
		f.Add(seed, false, []byte{0, 0, 0, 1, 0x80})
		f.Add(seed, true, bytes.Repeat([]byte{3}, 40))
	}
	f.Fuzz(func(t *testing.T, seed uint16, fresh bool, data []byte) {
		d := diceOf(uint64(seed % 4096)) // reflect keeps each type for ever
		from := reflect.SliceOf(d.typ(3))
		to := d.become(from)
		w, r, err := evolvedTo(t, from, to)
		if err != nil {
			return
		}
		body := data
		if !fresh {
			value := reflect.New(from)
			d.fill(value.Elem())
			body = w.append(nil, value.UnsafePointer(), 0)
			for i := range min(len(body), len(data)) {
				body[i] ^= data[i]
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, _, ok := decodeOne(r, to, body)
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 16<<20 {
			t.Errorf("%v as %v: %d bytes of memory for %d", from, to, taken, len(body))
		}
		if ok {
			own, _ := compiled(to)
			own.append(nil, v.Addr().UnsafePointer(), 0)
		}
	})
}
