package state

// bits is a set of the slots of one chunk.
type bits []uint64

func allBits() bits {
	b := make(bits, chunkSize/64)
	for i := range b {
		b[i] = ^uint64(0)
	}
	return b
}

func (b bits) has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }
func (b bits) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bits) unset(i int)    { b[i>>6] &^= 1 << (i & 63) }
