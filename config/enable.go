package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// offMark is what update-inetd(8) writes before the line of a service that is
// switched off.
const offMark = "#<off># "

// SetDisabled returns the text of a file with the services of an id switched off,
// or on again: as update-inetd(8) does in inetd.conf, and by disable in
// xinetd.conf and TOML. What it returns has been read: nothing else is different.
// The error says what to do by hand.
func SetDisabled(file, text, id string, off bool, o Options) (string, error) {
	o.Disabled = true
	if o.Dialect == Any {
		o.Dialect = DetectDialect(file, text)
	}
	before, _ := readOwn(file, text, o)
	edited, found := switchServices(file, text, id, off, before, o)
	if !found {
		return "", fmt.Errorf("%s: %w: %q", file, map[bool]error{true: ErrNotOn, false: ErrNotOff}[off], id)
	}
	after, problems := readOwn(file, edited, o)
	why := unlike(before, after, id, off)
	if why == "" && off {
		back, found := switchServices(file, edited, id, false, after, o)
		if again, _ := readOwn(file, back, o); !found || unlike(before, again, id, false) != "" {
			why = "it could not be switched on again"
		}
	}
	if why != "" {
		return "", fmt.Errorf("%s cannot be changed safely (%s%s): edit it by hand", file, why, firstOf(problems))
	}
	return edited, nil
}

func switchServices(file, text, id string, off bool, services []*Service, o Options) (edited string, found bool) {
	if o.Dialect == Inetd {
		return switchLines(file, text, id, off, services, o)
	}
	return switchStanzas(text, id, off, services, o.Dialect)
}

// Why SetDisabled finds nothing to switch.
var (
	ErrNotOn  = errors.New("there is no service that is on")
	ErrNotOff = errors.New("there is no service that is off")
)

// readOwn reads the services that stand in a file itself, not in those that it
// includes.
func readOwn(file, text string, o Options) ([]*Service, []Problem) {
	services, problems := Read(file, text, o)
	return slices.DeleteFunc(services, func(s *Service) bool { return s.Pos.File != file }), problems
}

func firstOf(problems []Problem) string {
	for _, p := range problems {
		if p.Severity == Error {
			return "; " + p.Text
		}
	}
	return ""
}

// unlike returns what is different between two readings apart from the service
// that is switched; "": nothing.
func unlike(before, after []*Service, id string, off bool) string {
	others := func(list []*Service) (keys []string) {
		for _, s := range list {
			if s.ID != id {
				keys = append(keys, fmt.Sprint(s.Key(), s.Disabled))
			}
		}
		return keys
	}
	if !slices.Equal(others(before), others(after)) {
		return "other services would change"
	}
	enabled := func(s *Service) bool { return s.ID == id && !s.Disabled }
	switch {
	case off && slices.ContainsFunc(after, enabled):
		return "it would still be on"
	case !off && !slices.ContainsFunc(after, enabled):
		return "it would still be off"
	}
	return ""
}

// switchLines switches the entries of an inetd.conf.
func switchLines(file, text, id string, off bool, services []*Service, o Options) (edited string, found bool) {
	lines := strings.SplitAfter(text, "\n")
	for _, s := range services { // key = value entries
		if s.ID == id && s.Disabled != off && isKeyEntry(lines[s.Pos.Line-1]) {
			lines[s.Pos.Line-1], found = switchKeyEntry(lines[s.Pos.Line-1], off), true
		}
	}
	if off {
		for _, s := range services {
			if s.ID != id || s.Disabled || isKeyEntry(lines[s.Pos.Line-1]) {
				continue
			}
			found = true
			for i := s.Pos.Line - 1; i < len(lines) && (i == s.Pos.Line-1 || isContinued(lines[i-1], lines[i])); i++ {
				lines[i] = offMark + lines[i]
			}
		}
		return strings.Join(lines, ""), found
	}
	for i := 0; i < len(lines); i++ {
		if !strings.HasPrefix(lines[i], offMark) {
			continue
		}
		end := i + 1
		for end < len(lines) && strings.HasPrefix(lines[end], offMark) && isContinued(strings.TrimPrefix(lines[end-1], offMark), strings.TrimPrefix(lines[end], offMark)) {
			end++
		}
		entry := strings.ReplaceAll("\n"+strings.Join(lines[i:end], ""), "\n"+offMark, "\n")[1:]
		o.Disabled = false
		if list, _ := ReadInetd(file, entry, o); len(list) == 1 && list[0].ID == id {
			for j := i; j < end; j++ {
				lines[j] = strings.TrimPrefix(lines[j], offMark)
			}
			found = true
		}
		i = end - 1
	}
	return strings.Join(lines, ""), found
}

// isContinued reports whether a line of inetd.conf continues the one before it.
func isContinued(before, line string) bool {
	before = strings.TrimRight(before, "\r\n")
	return strings.TrimSpace(line) != "" && (line[0] == ' ' || line[0] == '\t' || strings.HasSuffix(before, `\`) && !strings.HasSuffix(before, `\\`))
}

// switchKeyEntry switches the first line of a key = value entry.
func switchKeyEntry(line string, off bool) string {
	state, other := "off", "on"
	if off {
		state, other = "on", "off"
	}
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[1] != state {
		return line
	}
	name := strings.Index(line, fields[0]) + len(fields[0])
	at := name + strings.Index(line[name:], state)
	return line[:at] + other + line[at+len(state):]
}

// setDisable returns a line that sets disable with another value; false: it sets
// something else.
func setDisable(line, value string) (string, bool) {
	name, before, found := strings.Cut(line, "=")
	if !found || strings.TrimSpace(name) != "disable" || strings.TrimSpace(before) == "" {
		return line, false
	}
	written := strings.Fields(before)[0]
	return name + "=" + strings.Replace(before, written, value, 1), true
}

// switchStanzas switches the entries of an xinetd.conf or the tables of a TOML
// file.
func switchStanzas(text, id string, off bool, services []*Service, d Dialect) (edited string, found bool) {
	lines := strings.SplitAfter(text, "\n")
	done := map[int]bool{} // a table that listens for streams and datagrams is two services
	for _, s := range slices.Backward(services) {
		if s.ID != id || s.Disabled == off || done[s.Pos.Line] {
			continue
		}
		done[s.Pos.Line], found = true, true
		lines = switchStanza(lines, s.Pos.Line, off, d)
	}
	return strings.Join(lines, ""), found
}

// switchStanza sets disable in the stanza that begins at a line, counted from 1.
func switchStanza(lines []string, at int, off bool, d Dialect) []string {
	value, setting := map[bool]string{true: "true", false: "false"}[off], "disable = true\n"
	if d == Xinetd {
		value, setting = yesOrNo(off), "\tdisable = yes\n"
	}
	insert := at
	for i := at; i < len(lines); i++ {
		trimmed := strings.TrimSpace(lines[i])
		if d == Xinetd && trimmed == "{" {
			insert = i + 1
		}
		if d == Xinetd && trimmed == "}" || d == TOML && strings.HasPrefix(trimmed, "[") {
			break
		}
		if changed, is := setDisable(lines[i], value); is {
			lines[i] = changed
			return lines
		}
	}
	if off {
		lines = slices.Insert(lines, insert, setting)
	}
	return lines
}
