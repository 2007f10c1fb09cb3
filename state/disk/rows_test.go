package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func rowsOf(t *testing.T, size int64) *rows {
	r, err := newRows(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestRowsAreWhatWasPutLast compares with a map: a row may be missing, and is never another one.
func TestRowsAreWhatWasPutLast(t *testing.T) {
	for _, size := range []int64{0, 1 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			cache, last := rowsOf(t, size), map[string][]byte{}
			r := rand.New(rand.NewPCG(1, uint64(size)))
			found := 0
			for i := range 100_000 {
				key := []byte(strings.Repeat("k", r.IntN(3)*70) + fmt.Sprint(r.IntN(500)))
				value := bytes.Repeat([]byte{byte(i)}, r.IntN(4)*r.IntN(60))
				switch r.IntN(4) {
				case 0:
					cache.put(key, value)
					last[string(key)] = value
				case 1:
					cache.drop(key)
					delete(last, string(key))
				default:
					got, ok := cache.get(key)
					want, there := last[string(key)]
					if ok && (!there || !bytes.Equal(got, want)) {
						t.Fatalf("key %.80q is %x, and should be %x (%v)", key, got, want, there)
					}
					if ok {
						found++
					}
				}
			}
			if found == 0 {
				t.Error("no row was ever found")
			}
		})
	}
}

// TestTheOldestRowGivesWay: a bucket that is full keeps what came last.
func TestTheOldestRowGivesWay(t *testing.T) {
	cache := rowsOf(t, bucketSize)
	const n = 100
	for i := range n {
		cache.put([]byte{byte(i)}, make([]byte, 50))
	}
	kept := (bucketSize - usedSize) / (headSize + 1 + 50)
	for i := range n {
		if _, ok := cache.get([]byte{byte(i)}); ok != (i >= n-kept) {
			t.Errorf("row %d of %d, of which %d fit: found %v", i, n, kept, ok)
		}
	}
}

// TestALargeRowIsNotKept: and the small one that it takes the place of is gone.
func TestALargeRowIsNotKept(t *testing.T) {
	cache := rowsOf(t, bucketSize)
	key := []byte("key")
	cache.put(key, []byte("small"))
	cache.put(key, make([]byte, rowMost))
	if value, ok := cache.get(key); ok {
		t.Errorf("found %d bytes", len(value))
	}
}

// TestARowIsPutFromARow: where entries move before it is copied.
func TestARowIsPutFromARow(t *testing.T) {
	cache := rowsOf(t, bucketSize)
	cache.put([]byte("a"), []byte("0123456789"))
	cache.put([]byte("b"), bytes.Repeat([]byte("b"), 20))
	value, _ := cache.get([]byte("a"))
	cache.put([]byte("a"), value[1:])
	if value, _ := cache.get([]byte("a")); string(value) != "123456789" {
		t.Errorf("%q", value)
	}
}

// TestRowsFollowTheTree writes in every way to a key whose row is cached.
func TestRowsFollowTheTree(t *testing.T) {
	b := openAt(t, Store(Directory(t.TempDir())), 0, 1)
	key := append(groupKey(1), "key"...)
	steps := []struct {
		name string
		do   func() error
		want string
	}{
		{"set", func() error { return b.Set(key, []byte("a")) }, "a"},
		{"set again", func() error { return b.Set(key, []byte("bc")) }, "bc"},
		{"append", func() error { return b.Append(key, []byte("de")) }, "bcde"},
		{"set to what was read", func() error {
			value, _, err := b.Get(key)
			if err != nil {
				return err
			}
			return b.Set(key, value[1:])
		}, "cde"},
		{"append much", func() error { return b.Append(key, bytes.Repeat([]byte("f"), rowMost)) }, "cde" + strings.Repeat("f", rowMost)},
		{"delete", func() error { return b.Delete(key) }, ""},
		{"append to nothing", func() error { return b.Append(key, []byte("g")) }, "g"},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		for range 2 { // from the tree, and from the rows
			value, found, err := b.Get(key)
			if string(value) != s.want || found != (s.want != "") || err != nil {
				t.Errorf("%s: %.20q, %v, %v, want %.20q", s.name, value, found, err, s.want)
			}
		}
	}
}

// TestSharesKeepWithinTheBudget: of the rows and the memtables of as many backends as there may be.
func TestSharesKeepWithinTheBudget(t *testing.T) {
	for _, parallelism := range []int{1, 2, 16} {
		s := &store{options: options{budget: 1 << 30}}
		for {
			its, err := s.share(parallelism)
			if err != nil {
				break
			}
			s.taken.memtable += its.memtable
			s.taken.rows += its.rows
		}
		pebbles, rows := s.pebbles()*allocated, s.taken.rows
		if s.taken.memtable*memtablesEach > pebbles/allocated || pebbles+rows > s.budget {
			t.Errorf("parallelism %d: %d bytes of rows, memtables of %d, %d for Pebble, budget %d", parallelism, rows, s.taken.memtable, pebbles, s.budget)
		}
	}
}
