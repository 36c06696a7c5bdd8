package config

import (
	"strconv"
	"strings"

	"goinetd/config/netdb"
)

// This file reads what services of ONC RPC are: "rstatd/1-3" of inetd.conf, and
// rpc_number and rpc_version of the others.

// maxVersions is how many versions a program can have. Each is a registration.
const maxVersions = 256

// rpcVersions reads "3", or a range as "1-3".
func rpcVersions(text string) (low, high uint32, _ *fault) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	l, err1 := strconv.ParseUint(first, 10, 32)
	h, err2 := strconv.ParseUint(last, 10, 32)
	switch {
	case err1 != nil || err2 != nil || h < l:
		return 0, 0, faultf("write a version, or the first and the last as 1-3", "%q is not a version or a range of them", text)
	case h-l >= maxVersions:
		return 0, 0, faultf("write the versions that the program has", "%s are more than %d versions", text, maxVersions)
	}
	return uint32(l), uint32(h), nil
}

// rpcProgram returns the number of a program by name or number.
func rpcProgram(text string) (uint32, *fault) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil && n > 0 {
		return uint32(n), nil
	}
	n, ok := netdb.Program(text)
	if !ok {
		return 0, faultf("correct the name, add it to /etc/rpc, or write the program's number", "unknown RPC program %q", text)
	}
	return n, nil
}

// inetdRPC reads "rstatd/1-3" of a line whose protocol begins with "rpc/", and
// returns the name as well.
func inetdRPC(text string) (rpc RPC, name string, b *fault) {
	name, versions, ok := strings.Cut(text, "/")
	if !ok {
		return rpc, "", faultf("write it as program/version, as rstatd/1-3", "%q has no version", text)
	}
	if rpc.Low, rpc.High, b = rpcVersions(versions); b == nil {
		rpc.Program, b = rpcProgram(name)
	}
	return rpc, name, b
}

// resolveRPC adds the program to where a service of type RPC listens. As in
// xinetd, its xinetd.conf has to say UNLISTED where /etc/rpc has another number
// or none.
func (b *builder) resolveRPC() *fault {
	s, l := b.s, &b.raw
	if !l.types["rpc"] {
		for _, name := range []string{"rpc_version", "rpc_number"} {
			if b.isWritten(attributes.find(name)) {
				b.warn(s.PosOf(name), "write type = RPC, or remove it", "%s has no effect without type = RPC", name)
			}
		}
		return nil
	}
	listed, known := netdb.Program(s.Name)
	mustBeListed := !l.types["unlisted"] && b.dialect == Xinetd
	switch {
	case !b.isWritten(attributes.find("rpc_version")):
		return faultf("write rpc_version = 1-3, or what the program has", "rpc_version is not set").inSetting("type")
	case l.rpc.Program == 0 && (!known || l.types["unlisted"]):
		return faultf("write rpc_number = N", "%s has no program number: it is not in /etc/rpc, and rpc_number is not set", s.Name).inSetting("type")
	case mustBeListed && !known:
		return faultf("write type = RPC UNLISTED", "%s is not in /etc/rpc", s.Name).inSetting("type")
	case mustBeListed && l.rpc.Program != 0 && l.rpc.Program != listed:
		return faultf("write type = RPC UNLISTED, or the other number", "%s is program %d in /etc/rpc, not %d", s.Name, listed, l.rpc.Program).inSetting("rpc_number")
	}
	if l.rpc.Program == 0 {
		l.rpc.Program = listed
	}
	for i := range s.Listen {
		s.Listen[i].RPC = l.rpc
	}
	if invalid := s.checkRPC(); invalid != nil {
		return invalid.inSetting("listen")
	}
	return nil
}

// rpc returns the program of a service; zero: it has none.
func (s *Service) rpc() RPC {
	if len(s.Listen) == 0 {
		return RPC{}
	}
	return s.Listen[0].RPC
}

func getRPCVersion(s *Service) []string {
	if s.rpc() == (RPC{}) {
		return nil
	}
	return []string{s.rpc().versions()}
}

// getRPCNumber returns the program's number where the name does not say it.
func getRPCNumber(s *Service) []string {
	if s.rpc() == (RPC{}) || s.isListedRPC() {
		return nil
	}
	return []string{strconv.FormatUint(uint64(s.rpc().Program), 10)}
}

// checkRPC returns why a service with RPC programs cannot be served.
func (s *Service) checkRPC() *fault {
	families := map[string]bool{}
	for _, l := range s.Listen {
		if l.RPC == (RPC{}) {
			continue
		}
		if l.Network != "tcp" && l.Network != "udp" && l.Network != "systemd" {
			return faultf("write rpc/tcp or rpc/udp", "an RPC service is reached over tcp or udp, not %s", l.Network)
		}
		for _, f := range l.families() {
			place := l.Network + strconv.Itoa(int(f))
			if families[place] && l.Network != "systemd" {
				return faultf("write one address", "rpcbind(8) has only one address for a program: %s cannot be reached at several", s.Name)
			}
			families[place] = true
		}
	}
	return nil
}

// isListedRPC reports whether /etc/rpc has the service's program by its name.
func (s *Service) isListedRPC() bool {
	n, known := netdb.Program(s.Name)
	return known && n == s.rpc().Program && !strings.ContainsAny(s.Name, ":/ ")
}

// rpcName returns the program as inetd.conf has it.
func rpcName(s *Service) string {
	if s.isListedRPC() {
		return s.Name
	}
	return strconv.FormatUint(uint64(s.rpc().Program), 10)
}
