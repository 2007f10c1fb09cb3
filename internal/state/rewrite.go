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
	b.each(func(key, value []byte) bool {
		b.set(slices.Clone(key), each(value))
		return true
	})
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

func (v *backedValue[K, V]) evolve(pieces []Restored) error {
	return evolveOne(&v.backed, &v.coder, pieces, "Value")
}

// evolve changes the values of the map: the types of their keys stay.
func (t *backedMap[K, M, V]) evolve(pieces []Restored) error {
	return evolveOne(&t.backed, &t.coder, pieces, "Value", "[]")
}

// evolveOne rewrites a state whose values are encoded one by one.
func evolveOne[K comparable, V any](b *backed[K], to *coder[V], pieces []Restored, path ...string) (err error) {
	from, err := evolving[V](b, pieces, path...)
	if err != nil || from == nil {
		return err
	}
	defer b.store.recovered(&err)
	b.rewrite(func(value []byte) []byte {
		v, err := decodeOne(from, value)
		b.must(err)
		return to.encode(v)
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
