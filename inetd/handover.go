package inetd

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"goinetd/config"
	"goinetd/inetd/handover"
	"goinetd/inetd/service"
	"goinetd/inetd/spawn"
	"goinetd/inetd/syslog"
)

// This file is both ends of a handover: what is left to the process that comes
// after this one, and what is taken over from the one before. The start of a
// process that has taken over is a reload: first the services of before are
// there again, as they were defined, with their programs counted; then the
// configuration is applied to them.

// SetInputs notes what the configuration is read from, for the next process.
func (s *Server) SetInputs(inputs map[string]int) {
	s.changing.Lock()
	s.inputs = inputs
	s.changing.Unlock()
}

// saveState writes the state that the next process gets, but for sockets and
// programs. The services that are not among those that have just been read
// have their records in the state before. The caller holds s.changing.
func (s *Server) saveState(records iter.Seq[[]byte]) {
	state := handover.State{Inputs: s.inputs, Files: slices.Sorted(maps.Keys(s.Files()))}
	served := map[string]bool{}
	s.mu.Lock()
	for key := range s.services.byKey {
		served[key] = true
	}
	s.mu.Unlock()
	s.replaceState(state, func(yield func([]byte) bool) {
		for r := range records {
			key := service.RecordKey(r)
			if served[key] && !yield(r) {
				return
			}
			delete(served, key)
		}
		if len(served) == 0 {
			return
		}
		for r := range s.state.Records() {
			if served[service.RecordKey(r)] && !yield(r) {
				return
			}
		}
	})
}

// replaceState writes a state. The one before is given up when the next is
// whole.
func (s *Server) replaceState(state handover.State, records iter.Seq[[]byte]) {
	state.Number = s.state.Number + 1
	if err := state.Write(records); err != nil {
		s.warnOnce("state for the next process: " + err.Error())
		return
	}
	if n := s.o.Notifier; n != nil {
		n.Store(state.FD(), handover.StateName(state.Number))
		for _, name := range s.stored {
			n.Unstore(name)
		}
		s.stored = []string{handover.StateName(state.Number)}
	}
	s.state.Close()
	s.state = state
}

// saveMoments adds to the state what changes between reloads: who is banned,
// which services are suspended, and what rpcbind(8) has.
func (s *Server) saveMoments() {
	state := s.state
	s.mu.Lock()
	state.Bans, state.Suspended = s.bansLocked(), s.suspensionsLocked()
	s.mu.Unlock()
	state.Programs = s.registrar.Registered()
	if state.Bans != nil || state.Suspended != nil || state.Programs != nil {
		s.replaceState(state, s.state.Records())
	}
}

func (s *Server) bansLocked() (list []handover.Ban) {
	now := time.Now()
	s.bans.Each(s.now(), func(p netip.Prefix, left time.Duration) {
		b := handover.Ban{Network: p}
		if left != config.Forever {
			b.Until = now.Add(left)
		}
		list = append(list, b)
	})
	return list
}

func (s *Server) suspensionsLocked() (list []handover.Suspension) {
	for key, svc := range s.services.byKey {
		if svc.suspended != nil {
			list = append(list, handover.Suspension{Service: key, Until: svc.suspended.until, Resumed: svc.suspended.onResume, Stopped: svc.stopped})
		}
		if svc.paused {
			list = append(list, handover.Suspension{Service: key, Paused: true})
		}
	}
	return list
}

// restore makes the services of the process before us anew. Their sockets are
// opened, or taken over, when the configuration has been applied.
func (s *Server) restore() {
	s.state = s.o.State
	b := service.NewRestorer(s.builderOptions())
	var defs []*service.Definition
	bad := 0
	for r := range s.state.Records() {
		if d := b.Restore(r); d != nil {
			defs = append(defs, d)
		} else {
			bad++
		}
	}
	if bad > 0 {
		s.log.Printf(syslog.Warning, "%s of the inetd before this one cannot be restored", count(bad, "service"))
	}
	s.mu.Lock()
	next, _ := s.assignLocked(defs, false)
	s.services.replace(next)
	s.claimListenersLocked(defs, nil, nil)
	s.services.indexMux()
	s.adoptLocked(s.o.State.Children)
	for _, ban := range s.o.State.Bans {
		d := config.Forever
		if !ban.Until.IsZero() {
			d = time.Until(ban.Until)
		}
		if d != 0 && s.bans.Add(ban.Network, d, s.now()) {
			s.bansMade.Add(1)
		}
	}
	s.mu.Unlock()
}

// suspendAgain suspends, stops and pauses the services that the process before us
// had so.
func (s *Server) suspendAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.o.State.Suspended {
		svc := s.services.byKey[one.Service]
		switch {
		case svc == nil:
		case one.Paused:
			s.pauseServiceLocked(svc)
		case time.Until(one.Until) > 0:
			s.suspendLocked(svc, time.Until(one.Until), one.Resumed)
			svc.stopped = one.Stopped
		}
	}
}

// adoptLocked counts the programs that the process before us started.
func (s *Server) adoptLocked(children []handover.Child) {
	services := map[uint64]*activeService{}
	for _, svc := range s.services.byKey {
		services[svc.def.Hash] = svc
	}
	uptime := handover.Uptime()
	for _, c := range children {
		svc := services[c.Service]
		switch {
		case svc == nil: // only to be reaped
			s.addChild(spawn.Existing(c.PID), task{from: c.Client, start: s.now(), auxiliary: true})
		case c.Socket != 0:
			s.waiters[c.Socket] = c
		default:
			t := task{svc: svc, def: svc.def, from: c.Client, start: s.now() - (uptime - c.Start)}
			svc.gate.Adopt(svc.def.Limits, c.Client.Addr())
			s.running++
			s.limitTime(c.PID, &t)
			s.addChild(spawn.Existing(c.PID), t)
		}
	}
}

// adoptWaiters has the programs reaped whose sockets no service wants any
// more.
func (s *Server) adoptWaiters() {
	for _, c := range s.waiters {
		s.addChild(spawn.Existing(c.PID), task{start: s.now(), auxiliary: true})
	}
	clear(s.waiters)
}

// addChild puts a program into the table of children, and into the one that
// the next process reads.
func (s *Server) addChild(p spawn.Process, t task) {
	c := handover.Child{PID: p.PID, Start: handover.Uptime() - (s.now() - t.start)}
	if !t.auxiliary {
		c.Service = t.def.Hash
	}
	if t.handedOff == nil {
		c.Client = t.from
	} else if t.handOff != 0 {
		c.Socket = t.handedOff.inode
	}
	if s.table != nil {
		t.record = s.table.Add(c) + 1
	}
	s.children.Add(p, t)
}

// Quiesce stops accepting. It waits until the clients that are looked up or
// served without a program are done, but no longer than the limit. New
// clients wait in the accept queues. Starts that hang are ended.
func (s *Server) Quiesce(limit time.Duration) {
	s.mu.Lock()
	s.quiescing = true // from now on nothing gets into stateListening
	for _, l := range s.sockets.all() {
		if l.state == stateListening {
			s.setStateLocked(l, statePaused)
		}
	}
	for end := s.now() + limit; s.running+s.lookups.Running()+s.rechecks > s.programsLocked() && s.now() < end; {
		s.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		s.mu.Lock()
	}
	s.mu.Unlock()
	s.watch.killAll()
}

// HandOver stops the server as Stop does, but leaves its sockets open, and
// returns them with the rest of the state. The workers have to have ended.
func (s *Server) HandOver() handover.State {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.saveMoments()
	state := s.state
	if _, pending := s.watch.all(); s.table != nil {
		for _, p := range pending { // killed by Quiesce: to be reaped
			s.table.Add(handover.Child{PID: p.f.PID, Start: handover.Uptime()})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
	state.Sockets, state.Table = s.sockets.open(), s.table
	return state
}

// CopyState returns a copy of the state but for sockets and programs, to be
// tried.
func (s *Server) CopyState() (handover.State, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	state := s.state
	err := state.Write(s.state.Records())
	return state, err
}

// storeFiles has the service manager keep the table. The state is stored when
// it is written.
func (s *Server) storeFiles() {
	for _, name := range s.o.State.StoreNames {
		s.o.Notifier.AddStored(name)
	}
	s.stored = s.o.State.StoreNames
	if s.table != nil {
		s.o.Notifier.Store(s.table.FD(), handover.TableName)
	}
}
