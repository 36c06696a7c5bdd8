package service

// A Slab allocates values in chunks. Single ones would lie between the garbage
// of reading a configuration, and keep its pages. A chunk lives as long as one
// of its values.
type Slab[T any] struct {
	free  []T
	chunk int
}

// maxChunk is how many values a Slab allocates at once.
const maxChunk = 64

// Expect says how many values are about to be taken.
func (s *Slab[T]) Expect(n int) { s.chunk = min(n, maxChunk) }

// Take returns n zero values.
func (s *Slab[T]) Take(n int) []T {
	if n > len(s.free) {
		s.free = make([]T, max(n, s.chunk))
	}
	list := s.free[:n:n]
	s.free = s.free[n:]
	return list
}
