package spawn

// A Scratch is what one thread needs to start programs without allocating:
// room for the variables of one connection and for the call itself. It must
// not be used by two goroutines at once.
type Scratch struct {
	vfork  vforkCall // of the way that programs are started here
	text   []byte    // the variables, each with its NUL
	starts []int     // where in text each begins
	marks  *marks    // of the next start, or the last; nil: there are none
}

// A Step is a system call that a child has made between the fork and the exec.
type Step struct {
	Name string // "setuid 65534"
	At   int64  // when it was over, in nanoseconds of CLOCK_MONOTONIC
}

// Reset discards the variables of the connection before.
func (s *Scratch) Reset() { s.text, s.starts = s.text[:0], s.starts[:0] }

// Var begins a variable and returns the buffer to append its value to; the
// result goes to Done.
func (s *Scratch) Var(name string) []byte {
	s.starts = append(s.starts, len(s.text))
	s.text = append(s.text, name...)
	return append(s.text, '=')
}

// Done ends the variable that Var began.
func (s *Scratch) Done(text []byte) { s.text = append(text, 0) }
