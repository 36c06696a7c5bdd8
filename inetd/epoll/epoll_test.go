package epoll

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOwner(t *testing.T) {
	s, err := NewSet[string]()
	if err != nil {
		t.Fatal(err)
	}
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(p[0], "first", unix.EPOLLIN|unix.EPOLLONESHOT); err != nil {
		t.Fatal(err)
	}
	unix.Write(p[1], []byte("x"))
	events := make([]unix.EpollEvent, 4)
	n, ok := s.Wait(events)
	if n != 1 || !ok {
		t.Fatalf("%d events, %v", n, ok)
	}
	if owner, ok := s.Owner(&events[0]); owner != "first" || !ok {
		t.Errorf("owner %q, %v", owner, ok)
	}
	// An event of a descriptor that has another owner since is nobody's.
	s.Remove(p[0])
	if _, ok := s.Owner(&events[0]); ok {
		t.Error("a removed descriptor has an owner")
	}
	if err := s.Add(p[0], "second", unix.EPOLLOUT); err != nil {
		t.Fatal(err)
	}
	if owner, ok := s.Owner(&events[0]); ok {
		t.Errorf("an old event belongs to %q", owner)
	}
	if err := s.Modify(p[0], unix.EPOLLIN); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Wait(events); n != 1 {
		t.Fatalf("%d events for what was readable before", n)
	}
	if owner, ok := s.Owner(&events[0]); owner != "second" || !ok {
		t.Errorf("owner %q, %v", owner, ok)
	}
	s.Close()
	for range 2 { // for every thread
		if _, ok := s.Wait(events); ok {
			t.Error("Wait goes on after Close")
		}
	}
}
