package inetd

import (
	"encoding/json"
	"io"
	"maps"
	"net/netip"
	"os"
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

// A stateFile has the state that the next process gets, but for sockets and
// programs. It is guarded by Server.changing.
type stateFile struct {
	file   *os.File // nil: none
	number int      // in the service manager's store
}

// SetInputs notes what the configuration is read from, for the next process.
func (s *Server) SetInputs(inputs map[string]int) {
	s.changing.Lock()
	s.inputs = inputs
	s.changing.Unlock()
}

// saveState writes the state. records are those of the services of the
// configuration; those that are kept have theirs in the file before. The
// caller holds s.changing.
func (s *Server) saveState(records map[string]json.RawMessage) {
	state := handover.State{Inputs: s.inputs}
	before := s.savedRecords()
	state.Files = slices.Sorted(maps.Keys(s.Files()))
	s.mu.Lock()
	for key := range s.services.byKey {
		if r := records[key]; r != nil {
			state.Services = append(state.Services, r)
		} else if r := before[key]; r != nil {
			state.Services = append(state.Services, r)
		}
	}
	s.mu.Unlock()
	s.writeState(state)
}

// savedRecords returns the records of the file, by the services' keys.
func (s *Server) savedRecords() map[string]json.RawMessage {
	records := map[string]json.RawMessage{}
	for _, r := range s.readState().Services {
		var key struct{ Key string }
		if json.Unmarshal(r, &key) == nil {
			records[key.Key] = r
		}
	}
	return records
}

func (s *Server) readState() (state handover.State) {
	if s.state.file != nil {
		s.state.file.Seek(0, io.SeekStart)
		state, _ = handover.Decode(s.state.file)
	}
	return state
}

// writeState replaces the file. The one before is given up when the next is
// whole.
func (s *Server) writeState(state handover.State) {
	state.Number = s.state.number + 1
	file, err := handover.NewFile()
	if err == nil {
		err = state.Encode(file)
	}
	if err != nil {
		s.warnOnce("state for the next process: " + err.Error())
		return
	}
	before := s.state
	s.state = stateFile{file, state.Number}
	if n := s.o.Notifier; n != nil {
		n.Store(int(file.Fd()), handover.StateName(s.state.number))
		for _, name := range s.stored {
			n.Unstore(name)
		}
		s.stored = []string{handover.StateName(s.state.number)}
	}
	if before.file != nil {
		before.file.Close()
	}
}

// saveMoments adds to the state what changes between reloads: who is banned,
// and which services are suspended.
func (s *Server) saveMoments() {
	state := s.readState()
	s.mu.Lock()
	state.Bans, state.Suspended = s.bansLocked(), s.suspensionsLocked()
	s.mu.Unlock()
	if state.Bans != nil || state.Suspended != nil {
		s.writeState(state)
	}
}

func (s *Server) bansLocked() (list []handover.Ban) {
	now := time.Now()
	s.bans.Each(s.now(), func(a netip.Addr, left time.Duration) {
		b := handover.Ban{Addr: a}
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
			list = append(list, handover.Suspension{Service: key, Until: svc.suspendedUntil, Resumed: svc.onResume})
		}
	}
	return list
}

// restore makes the services of the process before us anew. Their sockets are
// opened, or taken over, when the configuration has been applied.
func (s *Server) restore() {
	records, bad := service.ReadRecords(s.o.State.Services)
	if bad > 0 {
		s.log.Printf(syslog.Warning, "%s of the inetd before this one cannot be read", count(bad, "service"))
	}
	b := service.NewBuilderOf(s.builderOptions(), records)
	encoded := map[string]json.RawMessage{}
	var defs []*service.Definition
	for i, r := range records {
		if d, _ := b.Build(r.Service); d != nil && d.Key == r.Key {
			defs = append(defs, d)
			encoded[d.Key] = s.o.State.Services[i]
		}
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
		if d != 0 && s.bans.Add(ban.Addr, d, s.now()) {
			s.bansMade.Add(1)
		}
	}
	s.mu.Unlock()
	s.state.number = s.o.State.Number
	s.saveState(encoded)
	s.o.State.Services = nil
}

// suspendAgain suspends the services that the process before us had
// suspended.
func (s *Server) suspendAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.o.State.Suspended {
		if svc := s.services.byKey[one.Service]; svc != nil && time.Until(one.Until) > 0 {
			s.suspendLocked(svc, time.Until(one.Until), one.Resumed)
		}
	}
}

// adoptLocked counts the programs that the process before us started.
func (s *Server) adoptLocked(children []handover.Child) {
	services := map[uint64]*activeService{}
	for key, svc := range s.services.byKey {
		services[handover.KeyHash(key)] = svc
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
			svc.gate.Adopt(c.Client.Addr())
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
		c.Service = handover.KeyHash(t.def.Key)
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
	for end := s.now() + limit; s.running+s.lookups.Running() > s.programsLocked() && s.now() < end; {
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
	state := s.readState()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
	state.Sockets, state.Table = s.sockets.open(), s.table
	return state
}

// State returns the state but for sockets and programs, to be tried.
func (s *Server) State() handover.State {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.readState()
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
