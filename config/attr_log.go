package config

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"goinetd/config/syslogname"
)

// This file reads what is logged of a service, and where to.

// logWord is a member of a LogSet and its name.
type logWord struct {
	name string
	bit  LogSet
}

var successWords = []logWord{{"PID", LogPID}, {"HOST", LogHost}, {"PORT", LogPort}, {"USERID", LogUserID}, {"EXIT", LogExit}, {"DURATION", LogDuration},
	{"RUSAGE", LogRUsage}, {"TRAFFIC", LogTraffic}}

// failureWords are the values of log_on_failure. Each of them implies ATTEMPT.
var failureWords = []logWord{{"HOST", LogHost}, {"PORT", LogPort}, {"USERID", LogUserID}, {"ATTEMPT", LogAttempt}}

func setLogSet(field func(*Service) *LogSet, known []logWord) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		*field(b.s) = 0
		for _, w := range v {
			i := slices.IndexFunc(known, func(k logWord) bool { return strings.EqualFold(k.name, w.text) })
			switch {
			case i >= 0:
				*field(b.s) |= known[i].bit
			case strings.EqualFold(w.text, "RECORD"):
				b.warn(w.pos, "remove it", "RECORD has no effect: xinetd has dropped it")
			default:
				return faultf("", "%q cannot be logged", w.text).atWord(w)
			}
		}
		return nil
	}
}

func getLogSet(field func(*Service) LogSet, known []logWord) func(*Service) []string {
	return func(s *Service) []string {
		list := []string{}
		for _, k := range known {
			if field(s)&k.bit != 0 {
				list = append(list, k.name)
			}
		}
		return list
	}
}

func setLogType(b *builder, v []word) *fault {
	w := texts(v)
	if len(w) == 1 { // TOML's one string
		w = strings.Fields(w[0])
	}
	if len(w) < 2 {
		return faultf("", "%q names no target", strings.Join(w, " "))
	}
	switch strings.ToLower(w[0]) {
	case "syslog":
		return b.syslogType(w[1:])
	case "file":
		return b.fileType(w[1:])
	}
	return faultf("", "%q is neither SYSLOG nor FILE", w[0]).atWord(v[0])
}

func (b *builder) syslogType(w []string) *fault {
	t := LogType{Facility: strings.ToLower(w[0]), Level: "info"}
	if len(w) > 1 {
		t.Level = strings.ToLower(w[1])
	}
	_, knownFacility := syslogname.Facility(t.Facility)
	_, knownLevel := syslogname.Level(t.Level)
	switch {
	case !knownFacility:
		return faultf("known: "+strings.Join(syslogname.Facilities(), ", "), "unknown syslog facility %q", w[0])
	case !knownLevel:
		return faultf("known: "+strings.Join(syslogname.Levels, ", "), "unknown syslog level %q", w[1])
	case len(w) > 2:
		return faultf("", "too many values")
	}
	b.s.LogType = t
	return nil
}

func (b *builder) fileType(w []string) *fault {
	t := LogType{Path: w[0]}
	if !filepath.IsAbs(t.Path) {
		return faultf("", "%q does not begin with /", t.Path)
	}
	var ok bool
	if len(w) > 1 {
		if t.Soft, ok = sizeOf(w[1]); !ok {
			return faultf("", "%q is not a size", w[1])
		}
		// As in xinetd: a hundredth more, within limits.
		t.Hard = t.Soft + min(max(t.Soft/100, 5<<10), 20<<10)
	}
	if len(w) > 2 {
		if t.Hard, ok = sizeOf(w[2]); !ok || t.Hard < t.Soft {
			return faultf("write a hard limit that is not below the soft one", "%q is not a hard limit", w[2])
		}
	}
	b.s.LogType = t
	return nil
}

func getLogType(s *Service) []string {
	t := s.LogType
	switch {
	case t.Path != "" && t.Soft > 0:
		return []string{"FILE", t.Path, strconv.FormatInt(t.Soft, 10), strconv.FormatInt(t.Hard, 10)}
	case t.Path != "":
		return []string{"FILE", t.Path}
	case t.Facility != "":
		return []string{"SYSLOG", t.Facility, t.Level}
	}
	return nil
}
