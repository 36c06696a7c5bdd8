package service

import "unsafe"

// A Slab allocates values in chunks. Single ones would lie between the garbage
// of reading a configuration, and keep its pages. A chunk lives as long as one
// of its values.
type Slab[T any] struct {
	free  []T
	chunk int // values
}

// maxChunk is the size of a chunk in bytes: the largest that Go's allocator has
// a class for, so that next to nothing of it is left over.
const maxChunk = 32 << 10

// Expect says how many values are about to be taken.
func (s *Slab[T]) Expect(n int) {
	var v T
	s.chunk = min(n, maxChunk/int(unsafe.Sizeof(v)))
}

// Take returns n zero values.
func (s *Slab[T]) Take(n int) []T {
	if n > len(s.free) {
		s.free = make([]T, max(n, s.chunk))
	}
	list := s.free[:n:n]
	s.free = s.free[n:]
	return list
}
