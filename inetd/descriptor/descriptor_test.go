package descriptor

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Nobody reads an eventfd: each of any number of signals is an event.
func TestSignal(t *testing.T) {
	event, err := NewEvent()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(event)
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(set)
	if err := unix.EpollCtl(set, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		Signal(event)
		if n, err := unix.EpollWait(set, make([]unix.EpollEvent, 1), 0); n != 1 || err != nil {
			t.Fatalf("signal %d: %d events, %v", i, n, err)
		}
	}
}
