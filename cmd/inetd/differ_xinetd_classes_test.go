package main

// A differenceClass is one kind of difference from xinetd that
// docs/differences.md explains.
type differenceClass struct {
	name string
	is   func(difference) bool
}

var xinetdClasses = []differenceClass{}

func classOf(d difference) *differenceClass {
	for i := range xinetdClasses {
		if c := &xinetdClasses[i]; c.is != nil && c.is(d) {
			return c
		}
	}
	return nil
}
