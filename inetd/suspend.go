package inetd

import (
	"fmt"
	"time"

	"goinetd/config"
	"goinetd/inetd/localtime"
	"goinetd/inetd/syslog"
)

// This file closes services for a while: those that were started as often
// within a minute as they may (looping), and those that get more connections
// a second than their cps allows. Clients get a refused connection instead of
// waiting, while the port stays ours; on the service manager's sockets, which
// are not ours to close, they wait.

// A suspension is how a service comes back.
type suspension struct {
	timer    *time.Timer // resumes it
	until    time.Time
	onResume string // the log line for that, with %s for the name
}

// suspendLoopingLocked suspends a service that loops.
func (s *Server) suspendLoopingLocked(svc *activeService) {
	if svc.suspended != nil {
		return
	}
	limit := svc.def.Limits.PerMinute
	if limit == config.None {
		s.log.Printf(syslog.Notice, "%s: closed: no start is allowed (service_max or per_minute is 0)", svc.def.Name)
		s.suspendLocked(svc, s.o.Suspension, "%s: listening again, until the next client")
		return
	}
	s.log.Printf(syslog.Err, "%s server failing (looping), service terminated: %d starts within a minute; resuming at %s (the limit is nowait.%d or -R %d; 0 is none)",
		svc.def.Name, svc.gate.Starts(), localtime.Now().Add(s.o.Suspension).Format(time.TimeOnly), limit, limit)
	s.suspendLocked(svc, s.o.Suspension, "%s: resumed after looping")
}

// suspendOverCPSLocked suspends a service that exceeds its cps. The lines are
// xinetd's.
func (s *Server) suspendOverCPSLocked(svc *activeService) {
	if svc.suspended != nil {
		return
	}
	pause := svc.def.Limits.CPS.Pause
	s.log.Printf(syslog.Warning, "Deactivating service %s due to excessive incoming connections.  Restarting in %d seconds.", svc.def.Name, int(pause.Seconds()))
	s.suspendLocked(svc, pause, "Activating service %s")
}

func (s *Server) suspendLocked(svc *activeService, d time.Duration, onResume string) {
	for _, l := range svc.listeners {
		if l.svc == svc && l.state != stateHandedOff { // reclaimLocked suspends that; another service may have taken l
			s.setStateLocked(l, stateSuspended)
		}
	}
	svc.suspended = &suspension{time.AfterFunc(d, func() { s.resume(svc) }), time.Now().Add(d), onResume}
}

// resume resumes a service, and logs it once it can be reached.
func (s *Server) resume(svc *activeService) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	line := s.resumeLocked(svc)
	s.mu.Unlock()
	s.openListeners()
	if line != "" {
		s.log.Printf(syslog.Notice, "%s", line)
	}
}

// endSuspensionLocked forgets a suspension. The listeners stay as they are.
func (s *Server) endSuspensionLocked(svc *activeService) {
	svc.stopped = false
	if svc.suspended != nil {
		svc.suspended.timer.Stop()
		svc.suspended = nil
	}
}

// resumeLocked ends a suspension. The caller opens the listeners that are in
// stateOpening then, and logs the line.
func (s *Server) resumeLocked(svc *activeService) (line string) {
	if svc.suspended == nil {
		return ""
	}
	onResume := svc.suspended.onResume
	s.endSuspensionLocked(svc)
	svc.gate.ResetRates()
	if s.services.byKey[svc.def.Key] != svc { // removed meanwhile
		return ""
	}
	for _, l := range svc.listeners {
		if l.state == stateSuspended {
			s.setStateLocked(l, stateListening)
		}
	}
	return fmt.Sprintf(onResume, svc.def.Name)
}
