package inetd

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"goinetd/config"
	"goinetd/inetd/handover"
	"goinetd/inetd/service"
	"goinetd/inetd/socket"
	"goinetd/inetd/syslog"
)

// Apply serves what a configuration says, at the start and at every reload.
// It logs all problems, those that it is given and those that it finds, and
// returns them.
//
// Sockets that are wanted before and after stay open, with the clients in
// their queues. Running programs are not touched. While the configuration has
// errors no service is removed: one whose definition is broken keeps running
// under its old one.
func (s *Server) Apply(confs []*config.Service, problems []config.Problem) []config.Problem {
	return s.Install(s.Prepare(confs, problems))
}

// A Prepared configuration has been looked up, and can be installed.
type Prepared struct {
	defs     []*service.Definition
	records  iter.Seq[[]byte] // for the next process
	spool    handover.State   // has them, at the start
	problems []config.Problem
}

// Prepare looks up what a configuration needs: users, groups and host names.
// That may take as long as name services do. It changes nothing but confs,
// which is the Server's from then on.
//
// At the start memory counts: of thousands of services, each is garbage as soon
// as it has become a definition and a record in a file. At a reload time does:
// the records are made when the new services listen.
func (s *Server) Prepare(confs []*config.Service, problems []config.Problem) *Prepared {
	b := service.NewBuilder(s.builderOptions(), confs)
	p := &Prepared{problems: problems}
	var scratch []byte
	record := func(i int) []byte {
		scratch = b.AppendRecord(scratch[:0], confs[i])
		confs[i] = nil
		return scratch
	}
	build := func(built func(i int)) {
		var found []config.Problem
		p.defs, found = b.BuildAll(confs, built)
		p.problems = append(p.problems, found...)
	}
	if s.serves() {
		var list []int
		build(func(i int) { list = append(list, i) })
		p.records = func(yield func([]byte) bool) {
			for _, i := range list {
				if !yield(record(i)) {
					return
				}
			}
		}
		return p
	}
	begun := false
	err := p.spool.Write(func(yield func([]byte) bool) {
		begun = true
		build(func(i int) { yield(record(i)) })
	})
	if err != nil {
		s.warnOnce("state for the next process: " + err.Error())
	}
	if !begun { // the host has no memfd_create(2), or no descriptor
		build(nil)
	}
	p.records = p.spool.Records()
	return p
}

// serves reports whether there are services.
func (s *Server) serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services.len() > 0
}

// Install serves what has been prepared.
func (s *Server) Install(p *Prepared) []config.Problem {
	s.changing.Lock()
	defer s.changing.Unlock()
	defs, problems := p.defs, p.problems
	for _, p := range problems {
		s.Report(p)
	}
	deleted := s.deletedFiles()

	s.mu.Lock()
	for _, svc := range s.services.byKey {
		s.unpauseLocked(svc)
		if line := s.resumeLocked(svc); line != "" {
			s.log.Printf(syslog.Notice, "%s", line)
		}
	}
	next, unconfigured := s.assignLocked(defs, config.Errors(problems))
	added, removed := s.services.replace(next)
	conflicts := s.claimListenersLocked(defs, unconfigured, deleted)
	s.services.indexMux()
	s.publishPortsLocked()
	clear(s.warned)
	s.renewLogFilesLocked()
	total := s.services.len()
	s.mu.Unlock()

	s.permitFiles()
	for _, p := range conflicts {
		s.Report(p)
	}
	problems = append(problems, conflicts...)
	opened := s.openListeners()
	s.noteApplied(problems, opened)
	problems = append(problems, opened...)
	s.saveState(p.records)
	p.spool.Close()
	s.log.Printf(syslog.Notice, "configuration read: %s (%d new, %d removed)", count(total, "service"), added, removed)
	return problems
}

func (s *Server) builderOptions() service.Options {
	return service.Options{Root: s.root, Session: s.o.Session, ResetOOM: s.o.ResetOOM, Env: s.env, Environ: s.o.Environ, WholeEnviron: s.o.WholeEnviron,
		Backlog: s.o.Backlog, Log: s.log, LogFile: s.logFile, MayRefuse: s.o.Hosts.MayRefuse}
}

// assignLocked assigns an active service to each definition: the one of its
// key, else the one of its name that has another address now, else one that
// has its socket and is not configured any more, else a new one. With keep,
// services that are not configured any more are kept.
func (s *Server) assignLocked(defs []*service.Definition, keep bool) (next map[string]*activeService, unconfigured []*activeService) {
	configured := map[string]bool{}
	for _, d := range defs {
		configured[d.Key] = true
	}
	next = make(map[string]*activeService, len(defs))
	s.services.slab.Expect(len(defs) - s.services.len())
	s.sockets.slab.Expect(len(defs) - s.services.len())
	taken := map[*activeService]bool{}
	moved := map[string]*activeService{}
	if !keep {
		moved = s.services.moved(defs)
	}
	for _, svc := range moved {
		taken[svc] = true
	}
	for _, d := range defs {
		svc := cmp.Or(s.services.byKey[d.Key], moved[d.Key])
		for i := range d.Addresses {
			// With keep, what is not configured may be a service whose line is broken.
			if svc != nil || keep || s.sockets.len() == 0 {
				break
			}
			if l := s.sockets.get(d.Addresses[i].Key()); l != nil && !configured[l.svc.def.Key] && !taken[l.svc] {
				svc = l.svc
			}
		}
		if svc == nil {
			svc = &s.services.slab.Take(1)[0]
		}
		taken[svc] = true
		svc.def = d
		next[d.Key] = svc
	}
	if !keep {
		return next, nil
	}
	for key, svc := range s.services.byKey {
		if next[key] == nil && !taken[svc] {
			next[key] = svc
			unconfigured = append(unconfigured, svc)
			s.log.Printf(syslog.Warning, "%s: invalid or missing in the configuration; keeps its previous settings until the errors are fixed", svc.def.Name)
		}
	}
	return next, unconfigured
}

// claimListenersLocked assigns each service the listeners of its addresses, in
// the order of the configuration, and closes those that nobody claims. A
// service that keeps its old definition keeps its listeners before all
// others. It returns the addresses that two services want.
func (s *Server) claimListenersLocked(defs []*service.Definition, unconfigured []*activeService, deleted map[*listener]bool) (conflicts []config.Problem) {
	claimed := map[*listener]bool{}
	for _, svc := range unconfigured {
		svc.listeners = slices.DeleteFunc(svc.listeners, func(l *listener) bool { return l.svc != svc })
		for _, l := range svc.listeners {
			claimed[l] = true
		}
	}
	for _, d := range defs {
		if svc := s.services.byKey[d.Key]; svc != nil && svc.def == d {
			conflicts = append(conflicts, s.claimForLocked(svc, claimed, deleted)...)
		}
	}
	for _, svc := range s.services.byKey {
		for _, l := range svc.listeners {
			s.adaptLocked(l)
			if l.state == statePaused { // perhaps for the hold of the service that had it
				s.setStateLocked(l, stateListening)
			}
		}
		svc.saturated = true // whatever the limits were, look again
		s.unsaturateLocked(svc)
	}
	for _, l := range s.sockets.all() {
		if !claimed[l] {
			s.unclaimLocked(l)
		}
	}
	return conflicts
}

// claimForLocked claims the listeners of one service's addresses; what is
// missing is opened later. Of two services that want an address the first has
// it.
func (s *Server) claimForLocked(svc *activeService, claimed, deleted map[*listener]bool) (conflicts []config.Problem) {
	svc.listeners = nil
	places, missing := s.sockets.assign(svc.def)
	for _, name := range missing {
		conflicts = append(conflicts, svc.def.Problem(config.Error, "add FileDescriptorName="+name+" to a socket unit that starts inetd",
			"%s: the service manager passed no %s socket named %q", svc.def.Name, svc.def.Type, name))
	}
	for _, p := range places {
		key := p.Key()
		l := s.sockets.get(key)
		if claimed[l] {
			conflicts = append(conflicts, svc.def.Problem(config.Warning, "give one of them another address or port", "%s: %s (%s) serves %s already",
				svc.def.Name, l.svc.def.Name, l.svc.def.Pos, p.Address))
			continue
		}
		if l != nil && deleted[l] && l.state != stateHandedOff {
			s.log.Printf(syslog.Warning, "%s: %s was deleted: opened again", l.svc.def.Name, l.Path)
			s.setStateLocked(l, stateClosed)
			l = nil
		}
		if l == nil {
			l = s.sockets.add(key, p.Address, svc)
		}
		l.Address, l.inherited, l.svc, l.orphaned = p.Address, p.in, svc, false
		svc.listeners = append(svc.listeners, l)
		claimed[l] = true
	}
	if len(svc.listeners) == 0 && len(svc.def.Addresses) > 0 {
		s.services.remove(svc)
	}
	return conflicts
}

// A unixFile is the file of a Unix socket that we opened.
type unixFile struct {
	l       *listener
	name    string // of the service
	path    string
	id      socket.Identity
	options *socket.Options
}

// unixFiles returns the files of our Unix sockets. What is done with them is
// done without the lock: a file system may not answer.
func (s *Server) unixFiles() (files []unixFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.sockets.byKey {
		if l.Network == "unix" && l.inherited == nil && l.fd >= 0 {
			files = append(files, unixFile{l, l.svc.def.Name, l.Path, l.file, l.svc.def.Socket})
		}
	}
	return files
}

// deletedFiles returns the listeners on Unix sockets whose files are gone:
// nobody can connect to them.
func (s *Server) deletedFiles() map[*listener]bool {
	deleted := map[*listener]bool{}
	for _, f := range s.unixFiles() {
		if socket.Identify(f.path) != f.id {
			deleted[f.l] = true
		}
	}
	return deleted
}

// permitFiles sets the owners and modes of Unix sockets that are open.
func (s *Server) permitFiles() {
	for _, f := range s.unixFiles() {
		if err := f.id.Permit(f.path, *f.options); err != nil {
			s.log.Printf(syslog.Warning, "%s: %v", f.name, err)
		}
	}
}

// adaptLocked makes an open socket fit its new definition.
func (s *Server) adaptLocked(l *listener) {
	if l.state == stateListening && (l.pollMode != l.wantedPollMode() || l.svc.holds > 0) {
		s.setStateLocked(l, statePaused)
		s.setStateLocked(l, stateListening)
	}
	wanted := l.svc.def.Socket
	if l.fd >= 0 && (l.options == nil || *l.options != *wanted) {
		socket.Adjust(l.fd, l.Address.Address, *wanted)
	}
	l.options = wanted
}

// unclaimLocked closes a listener that no service wants. One that a program
// has is closed when that ends: until then our copy keeps the address for a
// service that the next reload brings back.
func (s *Server) unclaimLocked(l *listener) {
	if l.state == stateHandedOff {
		l.orphaned = true
		return
	}
	s.setStateLocked(l, stateClosed)
}

// publishPortsLocked makes the set of our own ports, which UDP services of
// ours do not answer, besides those that package builtin does not.
func (s *Server) publishPortsLocked() {
	ports := map[uint16]bool{}
	for _, svc := range s.services.byKey {
		for _, l := range svc.listeners {
			if l.servesDatagrams() && svc.def.Builtin.RepliesToDatagrams() {
				ports[l.Addr.Port()] = true
			}
		}
	}
	s.udpPorts.Store(&ports)
}

// logFile returns the log in a file, which all services that name it share.
func (s *Server) logFile(t config.LogType) *syslog.Logger {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(t)
	f := s.logFiles[key]
	if f == nil {
		f = syslog.NewFile("", t.Path, syslog.Limits{Soft: t.Soft, Hard: t.Hard, Warn: func(text string) {
			s.log.Printf(syslog.Crit, "%s", text)
		}})
		s.logFiles[key] = f
	}
	return f.Logger
}

// renewLogFilesLocked has the log files opened again, as after a rotation,
// and closes those that no service writes to any more.
func (s *Server) renewLogFilesLocked() {
	used := map[*syslog.Logger]bool{}
	for _, svc := range s.services.byKey {
		used[svc.def.Log.Logger] = true
	}
	for key, f := range s.logFiles {
		if used[f.Logger] {
			f.Reopen()
			continue
		}
		f.Close() // programs that still run write their EXIT lines nowhere
		delete(s.logFiles, key)
	}
}
