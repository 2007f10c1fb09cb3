//go:build unix

package disk

import "syscall"

// allocate returns memory that is not in the heap. It takes none of the machine's before it is written to.
func allocate(size int) ([]byte, error) {
	return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func free(memory []byte) error { return syscall.Munmap(memory) }
