package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file reads and writes the values of settings, one pair of functions
// for each kind of value.

func isLetter(c rune) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func setText(field func(*Service) *string) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		if v[0].text == "" || strings.ContainsFunc(v[0].text, func(c rune) bool { return c <= ' ' || c == ':' }) {
			return faultf("", "%q is not a name", v[0].text).atWord(v[0])
		}
		*field(b.s) = v[0].text
		return nil
	}
}

// setName reads what a service is called, which is more than a word for
// accounts may be.
func setName(field func(*Service) *string) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		if v[0].text == "" || strings.ContainsFunc(v[0].text, func(c rune) bool { return c <= ' ' }) {
			return faultf("", "%q is not a name", v[0].text).atWord(v[0])
		}
		*field(b.s) = v[0].text
		return nil
	}
}

func getText(field func(*Service) string) func(*Service) []string {
	return func(s *Service) []string {
		if text := field(s); text != "" {
			return []string{text}
		}
		return nil
	}
}

func setPath(field func(*Service) *string) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		if !filepath.IsAbs(v[0].text) || strings.ContainsRune(v[0].text, 0) {
			return faultf("", "%q does not begin with /", v[0].text).atWord(v[0])
		}
		*field(b.s) = v[0].text
		return nil
	}
}

func setBool(field func(*Service) *bool) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		value, ok := boolOf(v[0].text)
		if !ok {
			return faultf("", "%q is neither yes nor no", v[0].text).atWord(v[0])
		}
		*field(b.s) = value
		return nil
	}
}

func getBool(field func(*Service) bool) func(*Service) []string {
	return func(s *Service) []string {
		if field(s) {
			return []string{"yes"}
		}
		return []string{"no"}
	}
}

func getInt(field func(*Service) int) func(*Service) []string {
	return func(s *Service) []string { return []string{strconv.Itoa(field(s))} }
}

// setLimit reads a number or UNLIMITED. 0 lets nobody in.
func setLimit(field func(*Service) *int) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		if strings.EqualFold(v[0].text, "unlimited") {
			*field(b.s) = 0
			return nil
		}
		n, err := strconv.Atoi(v[0].text)
		if err != nil || n < 0 || n > 1<<30 {
			return faultf("", "%q is not a limit", v[0].text).atWord(v[0])
		}
		if n == 0 {
			n = None
		}
		*field(b.s) = n
		return nil
	}
}

func getLimit(field func(*Service) int) func(*Service) []string {
	return func(s *Service) []string {
		switch n := field(s); n {
		case 0:
			return []string{"UNLIMITED"}
		case None:
			return []string{"0"}
		default:
			return []string{strconv.Itoa(n)}
		}
	}
}

func setServer(b *builder, v []word) *fault {
	if !filepath.IsAbs(v[0].text) || strings.ContainsRune(v[0].text, 0) {
		return faultf("", "program %q does not begin with /", v[0].text).atWord(v[0])
	}
	b.s.Server = v[0].text
	return nil
}

func setArgs(b *builder, v []word) *fault {
	for _, w := range v {
		if strings.ContainsRune(w.text, 0) {
			return faultf("remove it", "a NUL byte cannot be part of an argument").atWord(w)
		}
	}
	b.raw.args = texts(v)
	return nil
}

// getArgs returns the arguments without argv[0] where that is the program's
// name, and with it where NAMEINARGS is among the flags.
func getArgs(s *Service) []string {
	if len(s.Args) == 0 || s.nameInArgs() {
		return s.Args
	}
	if len(s.Args) == 1 {
		return nil
	}
	return s.Args[1:]
}

func (s *Service) nameInArgs() bool {
	return len(s.Args) > 0 && s.Args[0] != filepath.Base(s.Server)
}

func setRedirect(b *builder, v []word) *fault {
	host, port := v[0].text, ""
	if len(v) == 2 {
		port = v[1].text
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host, port = host[:i], host[i+1:]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if invalid := portRange(port); invalid != nil {
		return invalid
	}
	n, ok := b.etc.port(port, "tcp")
	if !ok || host == "" || strings.ContainsAny(host, " /[]") {
		return faultf("", "%q is not a host and a port", strings.Join(texts(v), " "))
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	b.s.Redirect = host + ":" + strconv.Itoa(n)
	return nil
}

func getRedirect(s *Service) []string {
	i := strings.LastIndexByte(s.Redirect, ':')
	if i < 0 {
		return nil
	}
	return []string{strings.Trim(s.Redirect[:i], "[]"), s.Redirect[i+1:]}
}

func setUmask(b *builder, v []word) *fault {
	n, err := strconv.ParseUint(strings.TrimPrefix(v[0].text, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return faultf("", "%q is not a umask", v[0].text).atWord(v[0])
	}
	b.s.Umask = int(n)
	return nil
}

func getUmask(s *Service) []string {
	if s.Umask < 0 {
		return nil
	}
	return []string{fmt.Sprintf("%03o", s.Umask)}
}

func setNice(b *builder, v []word) *fault {
	n, err := strconv.Atoi(v[0].text)
	if err != nil || n < -39 || n > 39 {
		return faultf("", "%q is not a nice value", v[0].text).atWord(v[0])
	}
	b.s.Nice = n
	return nil
}

func setEnv(b *builder, v []word) *fault {
	for _, w := range v {
		name, _, ok := strings.Cut(w.text, "=")
		if !ok || name == "" || strings.ContainsRune(w.text, 0) {
			return faultf("", "%q is not NAME=value", w.text).atWord(w)
		}
	}
	b.s.Env = nil
	for _, w := range v { // of one name the last counts, as in xinetd: programs would take the first
		name, _, _ := strings.Cut(w.text, "=")
		b.s.Env = slices.DeleteFunc(b.s.Env, func(before string) bool { return strings.HasPrefix(before, name+"=") })
		b.s.Env = append(b.s.Env, w.text)
	}
	return nil
}

func setPassEnv(b *builder, v []word) *fault {
	for _, w := range v {
		if strings.ContainsAny(w.text, "=\x00") {
			return faultf("", "%q is not the name of a variable", w.text).atWord(w)
		}
	}
	b.s.PassEnv = texts(v)
	return nil
}

func setTimes(b *builder, v []word) *fault {
	b.s.AccessTimes = nil
	for _, w := range v {
		from, to, ok := strings.Cut(w.text, "-")
		begin, ok1 := minuteOf(from, false)
		end, ok2 := minuteOf(to, true)
		if !ok || !ok1 || !ok2 || begin == end {
			return faultf("", "%q is not a part of the day", w.text).atWord(w)
		}
		b.s.AccessTimes = append(b.s.AccessTimes, Span{begin, end})
	}
	return nil
}

func getTimes(s *Service) []string {
	var list []string
	for _, t := range s.AccessTimes {
		list = append(list, fmt.Sprintf("%d:%02d-%d:%02d", t.From/60, t.From%60, t.To/60, t.To%60))
	}
	return list
}

func setLibwrap(b *builder, v []word) *fault {
	if v[0].text == "" {
		return faultf("", "the name is empty").atWord(v[0])
	}
	b.raw.libwrap = v[0].text
	return nil
}

func getLibwrap(s *Service) []string {
	if s.Libwrap == "" {
		return []string{"no"}
	}
	if s.Libwrap == s.daemonName() {
		return []string{"yes"}
	}
	return []string{s.Libwrap}
}

func setDenyTime(b *builder, v []word) *fault {
	switch word := strings.ToLower(v[0].text); word {
	case "forever", "-1":
		b.s.DenyTime = Forever
	case "never":
		b.s.DenyTime = 0
	default:
		d, ok := periodOf(word, time.Minute)
		if !ok {
			return faultf("", "%q is not a time", v[0].text).atWord(v[0])
		}
		b.s.DenyTime = d
	}
	return nil
}

func getDenyTime(s *Service) []string {
	switch {
	case s.DenyTime == Forever:
		return []string{"FOREVER"}
	case s.DenyTime == 0:
		return nil
	case s.DenyTime%time.Minute != 0:
		return []string{s.DenyTime.String()}
	}
	return []string{strconv.Itoa(int(s.DenyTime / time.Minute))}
}

func setCPS(b *builder, v []word) *fault {
	b.raw.cpsSet = true
	return setRate(func(s *Service) *Rate { return &s.CPS })(b, v)
}

func setRate(field func(*Service) *Rate) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		n, err := strconv.Atoi(v[0].text)
		if err != nil || n < 0 || n > 1<<30 {
			return faultf("", "%q is not a number of starts", v[0].text).atWord(v[0])
		}
		pause, ok := periodOf(v[1].text, time.Second)
		if !ok {
			return faultf("", "%q is not a time", v[1].text).atWord(v[1])
		}
		if *field(b.s) = (Rate{n, pause}); n == 0 {
			*field(b.s) = Rate{}
		}
		return nil
	}
}

func setPrefixes(b *builder, v []word) *fault {
	var lengths [2]int
	for i, most := range []int{32, 128} {
		n, err := strconv.Atoi(strings.TrimPrefix(v[i].text, "/"))
		if err != nil || n < 1 || n > most {
			return faultf("", "%q is not the length of a network from 1 to %d", v[i].text, most).atWord(v[i])
		}
		lengths[i] = n
	}
	if b.s.PerSourcePrefix = (Prefixes{uint8(lengths[0]), uint8(lengths[1])}); b.s.PerSourcePrefix == DefaultPrefixes {
		b.s.PerSourcePrefix = Prefixes{}
	}
	return nil
}

func getPrefixes(s *Service) []string {
	p := cmp.Or(s.PerSourcePrefix, DefaultPrefixes)
	return []string{strconv.Itoa(int(p.IPv4)), strconv.Itoa(int(p.IPv6))}
}

func getRate(field func(*Service) Rate) func(*Service) []string {
	return func(s *Service) []string {
		r := field(s)
		pause := strconv.FormatFloat(r.Pause.Seconds(), 'f', -1, 64)
		if r.Pause%time.Second != 0 {
			pause = r.Pause.String()
		}
		return []string{strconv.Itoa(r.Max), pause}
	}
}

func setMaxLoad(b *builder, v []word) *fault {
	load, err := strconv.ParseFloat(v[0].text, 64)
	if err != nil || !(load > 0 && load < 1e9) {
		return faultf("", "%q is not a load average", v[0].text).atWord(v[0])
	}
	b.s.MaxLoad = load
	return nil
}

func getMaxLoad(s *Service) []string {
	if s.MaxLoad == 0 {
		return nil
	}
	return []string{strconv.FormatFloat(s.MaxLoad, 'f', -1, 64)}
}

func setPeriod(field func(*Service) *time.Duration) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		d, ok := periodOf(v[0].text, time.Second)
		if !ok {
			return faultf("", "%q is not a time", v[0].text).atWord(v[0])
		}
		*field(b.s) = d
		return nil
	}
}

// setUnlimitedPeriod is setPeriod for a setting that has a default.
func setUnlimitedPeriod(field func(*Service) *time.Duration) func(*builder, []word) *fault {
	period := setPeriod(field)
	return func(b *builder, v []word) *fault {
		if strings.EqualFold(v[0].text, "UNLIMITED") {
			*field(b.s) = Forever
			return nil
		}
		return period(b, v)
	}
}

func getPeriod(field func(*Service) time.Duration) func(*Service) []string {
	return func(s *Service) []string {
		switch d := field(s); d {
		case 0:
			return nil
		case Forever:
			return []string{"UNLIMITED"}
		default:
			return []string{d.String()}
		}
	}
}

// maxBuffer is the largest SO_SNDBUF or SO_RCVBUF, in bytes.
const maxBuffer = 1 << 30

func setBuffer(field func(*Service) *int) func(*builder, []word) *fault {
	return func(b *builder, v []word) *fault {
		size, ok := sizeOf(v[0].text)
		if !ok || size < 1 || size > maxBuffer {
			return faultf("", "%q is not a buffer size", v[0].text).atWord(v[0])
		}
		*field(b.s) = int(size)
		return nil
	}
}

func getBuffer(field func(*Service) int) func(*Service) []string {
	return func(s *Service) []string {
		if n := field(s); n > 0 {
			return []string{strconv.Itoa(n)}
		}
		return nil
	}
}
