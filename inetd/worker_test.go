package inetd

import "testing"

// The calls that find nobody become rare, and one that finds a client is
// followed by another at once.
func TestAcceptBackoff(t *testing.T) {
	var b acceptBackoff
	calls := 0
	for range 1000 {
		if b.try() {
			calls++
			b.done(false)
		}
	}
	if calls < 1000/32 || calls > 1000/32+5 {
		t.Errorf("%d of 1000 calls although nobody comes", calls)
	}
	for !b.try() {
	}
	if b.done(true); !b.try() {
		t.Error("no call after one that found a client")
	}
}
