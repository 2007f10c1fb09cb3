package state

import (
	"slices"

	"github.com/perennial-io/perennial/internal/record"
)

// What a backend has restored by itself is in its own form, and of the types that the job then had. Where a type
// has changed, each value is rewritten when its state is opened, before anybody asks for one.

// written is the schema of the entries that the backend has restored; "" where it is what it is now.
func (b *backed[K]) written(pieces []Restored) string {
	for _, piece := range pieces {
		if b.store.inBackend && piece.Handle.Schema != b.is.Schema {
			return piece.Handle.Schema
		}
	}
	return ""
}

// rewrite sets every value of the state in the backend to what each makes of it.
func (b *backed[K]) rewrite(each func(value []byte) []byte) {
	keys := &b.store.keys
	for group := range keys.Groups {
		if record.Owner(group, keys.Groups, keys.Parallelism) != keys.Subtask {
			continue
		}
		begin := b.begin(group)
		b.must(b.store.backend.Scan(begin, after(begin), func(key, value []byte) bool {
			b.set(slices.Clone(key), each(value))
			return true
		}))
	}
}

// evolving returns what decodes values of the state as they were written, by their place in an entry; nil if they
// need not be rewritten.
func evolving[V any, K comparable](b *backed[K], pieces []Restored, path ...string) (Decoder[V], error) {
	written := b.written(pieces)
	if written == "" {
		return nil, nil
	}
	if err := record.CompatibleEntry(written, b.is.Schema); err != nil {
		return nil, err
	}
	part, err := record.Part(written, path...)
	if err != nil {
		return nil, err
	}
	codec, err := record.CodecOf[V]()
	if err != nil {
		return nil, err
	}
	return codec.From(part)
}

func (v *backedValue[K, V]) evolve(pieces []Restored) (err error) {
	from, err := evolving[V](&v.backed, pieces, "Value")
	if err != nil || from == nil {
		return err
	}
	defer v.store.recovered(&err)
	v.rewrite(func(b []byte) []byte {
		value, err := decodeOne(from, b)
		v.must(err)
		return v.coder.encode(value)
	})
	return nil
}

func (l *backedList[K, V]) evolve(pieces []Restored) (err error) {
	from, err := evolving[V](&l.backed, pieces, "Value", "[]")
	if err != nil || from == nil {
		return err
	}
	defer l.store.recovered(&err)
	l.rewrite(func(b []byte) []byte {
		values, err := readList(b, from)
		l.must(err)
		return appendList(nil, l.coder.codec, values)
	})
	return nil
}

func (t *backedMap[K, M, V]) evolve(pieces []Restored) (err error) {
	from, err := evolving[V](&t.backed, pieces, "Value", "[]")
	if err != nil || from == nil {
		return err
	}
	defer t.store.recovered(&err)
	t.rewrite(func(b []byte) []byte {
		value, err := decodeOne(from, b)
		t.must(err)
		return t.coder.encode(value)
	})
	return nil
}
