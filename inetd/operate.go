package inetd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"goinetd/inetd/syslog"
)

// This file does to services what an administrator asks for by inetctl(8). What
// is stopped or paused is so until it is started, or until a reload; an upgrade and
// a restart by systemd change nothing of it.

// untilReload is the length of a suspension that no time ends.
const untilReload = 100 * 365 * 24 * time.Hour

// findLocked returns the services of a name.
func (s *Server) findLocked(name string) (list []*activeService, err error) {
	for _, svc := range s.services.byKey {
		if svc.def.Name == name {
			list = append(list, svc)
		}
	}
	if list == nil {
		err = fmt.Errorf("there is no service %q (inetctl status lists them)", name)
	}
	return list, err
}

// StopService closes a service: its clients are refused. Running programs go on.
func (s *Server) StopService(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.findLocked(name)
	for _, svc := range list {
		s.endSuspensionLocked(svc)
		s.suspendLocked(svc, untilReload, "%s: started")
		svc.stopped = true
	}
	if err == nil {
		s.log.Printf(syslog.Notice, "%s: stopped (inetctl)", name)
	}
	return err
}

// PauseService has the clients of a service wait in the queue.
func (s *Server) PauseService(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.findLocked(name)
	for _, svc := range list {
		s.pauseServiceLocked(svc)
	}
	if err == nil {
		s.log.Printf(syslog.Notice, "%s: paused (inetctl)", name)
	}
	return err
}

func (s *Server) pauseServiceLocked(svc *activeService) {
	if !svc.paused {
		svc.paused = true
		s.holdLocked(svc)
	}
}

// StartService ends StopService, PauseService, and every suspension.
func (s *Server) StartService(name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	list, err := s.findLocked(name)
	for _, svc := range list {
		s.unpauseLocked(svc)
		s.resumeLocked(svc)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.openListeners()
	s.log.Printf(syslog.Notice, "%s: started (inetctl)", name)
	return nil
}

func (s *Server) unpauseLocked(svc *activeService) {
	if svc.paused {
		svc.paused = false
		s.unholdLocked(svc)
	}
}

// DrainService stops a service, and returns when none of its clients is served
// any more, or the context is done.
func (s *Server) DrainService(ctx context.Context, name string) error {
	if err := s.StopService(name); err != nil {
		return err
	}
	for {
		idle, err := s.whenIdle(name)
		if err != nil || idle == nil {
			return err
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// whenIdle returns a channel that is closed when a service has no clients any
// more; nil: it has none.
func (s *Server) whenIdle(name string) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.findLocked(name)
	for _, svc := range list {
		if svc.gate.Running() > 0 {
			w := svc.waitingLocked()
			if w.idle == nil {
				w.idle = make(chan struct{})
			}
			return w.idle, nil
		}
	}
	return nil, err
}

// noteIdleLocked tells who waits that a service has no clients any more.
func (svc *activeService) noteIdleLocked() {
	if svc.waiting != nil && svc.waiting.idle != nil && svc.gate.Running() == 0 {
		close(svc.waiting.idle)
		svc.waiting.idle = nil
	}
}

// Kick ends what serves a pid's client, the clients of an address or a network,
// or those of a service: programs by SIGTERM and, after killAfter, SIGKILL. It
// returns how many.
func (s *Server) Kick(target string) (n int, err error) {
	matches, err := s.matcher(target)
	if err != nil {
		return 0, err
	}
	var pids []int
	s.children.Each(func(pid int, t task) {
		if !t.auxiliary && matches(pid, t.def.Name, t.from.Addr()) {
			pids = append(pids, pid)
		}
	})
	for _, pid := range pids {
		same := func(t task) bool { return !t.auxiliary && matches(pid, t.def.Name, t.from.Addr()) }
		if s.children.Kill(pid, unix.SIGTERM, same) {
			n++
			time.AfterFunc(killAfter, func() { s.children.Kill(pid, unix.SIGKILL, same) })
		}
	}
	for _, c := range s.conns.all() {
		if name, from := c.served(); matches(0, name, from.Addr()) {
			c.shutdown()
			n++
		}
	}
	if n == 0 {
		return 0, errors.New("nobody is served who is meant by " + strconv.Quote(target))
	}
	s.log.Printf(syslog.Notice, "%s ended (inetctl kick %s)", count(n, "client"), target)
	return n, nil
}

// matcher reads the target of Kick.
func (s *Server) matcher(target string) (func(pid int, service string, from netip.Addr) bool, error) {
	if pid, err := strconv.Atoi(target); err == nil && pid > 0 {
		return func(p int, _ string, _ netip.Addr) bool { return p == pid }, nil
	}
	network, err := netip.ParsePrefix(target)
	if a, e := netip.ParseAddr(target); e == nil {
		network, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	if err == nil {
		return func(_ int, _ string, from netip.Addr) bool {
			return from.IsValid() && network.Contains(from.WithZone(""))
		}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.findLocked(target); err != nil {
		return nil, fmt.Errorf("%q is neither a pid, an address nor a service", target)
	}
	return func(_ int, service string, _ netip.Addr) bool { return service == target }, nil
}
