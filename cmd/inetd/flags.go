package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"goinetd/config"
)

const usage = `usage: inetd [-dEiltV] [-f dialect] [-q length] [-R rate] [-c max] [-C rate]
             [-s max] [-a address] [-p pidfile] [file ...]
  -i          stay in the foreground and log to stderr
  -d          like -i with START and EXIT lines, and log each step
  -l          log each start and end of a program (START and EXIT lines), and
              consult hosts.allow and hosts.deny for the services of inetd.conf
  -t          read the configuration, print what is wrong with it, and exit
  -f dialect  read files as inetd, xinetd or toml instead of detecting it
  -E          keep the whole environment for the programs
  -q length   clients that may queue for one socket (4096)
  -R rate     starts of one service in a minute before it is taken for looping (256; 0: no limit)
  -c max      programs of one service at once; more clients queue (0: no limit)
  -C rate     starts of one service in a minute for one client address (0: no limit)
  -s max      programs of one service at once for one client address (0: no limit)
  -a address  listen here, where a service names no address
  -p pidfile  instead of /run/inetd.pid, which is only written in the background ("": none)
  --control=PATH         socket for inetctl, instead of /run/inetd/control, which
                         is only opened with a pidfile ("": none)
  --control-group=GROUP  a group that may use it, beside root
  -V          print the version and exit
  -h, -?      print this and exit
Without files it reads the first of /etc/inetd.toml, /etc/inetd.conf (with
/etc/inetd.d) and /etc/xinetd.conf that has services. -a, -c, -C, -R and -s
apply to the services of inetd.conf. The file - is standard input. The options
of other inetds are known: --pidfile=F, --rate=N, ... of GNU, -w and -W of
FreeBSD, -f and -e of busybox. Under the name xinetd, it takes xinetd's options.`

// options are what the command line says.
type options struct {
	foreground bool
	debug      bool
	keepEnv    bool
	version    bool
	help       bool
	test       bool // the configuration only
	backlog    int
	pidfile    string
	pidfileSet bool

	control      string // path of the control socket
	controlSet   bool
	controlGroup string
	inetd        config.Options
	files        []string // absolute; none: the default

	xinetd    bool   // started by the name xinetd
	compat    bool   // read /etc/inetd.conf, too
	stayAlive bool   // although there is nothing to serve
	limit     int    // of programs; 0: none
	facility  string // of syslog; empty: daemon
	filelog   string // file for the daemon's log; empty: syslog
	ignored   []string

	busyboxForeground, busyboxStderr bool
	streams                          streams
	passedOver                       []string // what options of other inetds have no effect, for the log
}

// parseFlags reads the command line as getopt(3) does, which the flag
// package does not: "-di" is two options, and "-R256" one with its value.
// Scripts and rc files of thirty years write them so.
func parseFlags(args []string) (*options, error) {
	o := &options{inetd: config.Options{PerMinute: 256}}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		letters := args[0][1:]
		args = args[1:]
		if letters == "-" {
			break
		}
		if letters[0] == '-' {
			var err error
			if args, err = o.long(letters[1:], args); err != nil {
				return nil, err
			}
			continue
		}
		for letters != "" {
			letter := letters[0]
			letters = letters[1:]
			if o.flag(letter) {
				continue
			}
			if !strings.ContainsRune("qRcCsapf", rune(letter)) {
				return nil, fmt.Errorf("unknown option -%c", letter)
			}
			value := letters
			if letter == 'f' && !isDialect(value) && (value != "" || len(args) == 0 || !isDialect(args[0])) {
				o.busyboxForeground = true
				continue
			}
			if value == "" && len(args) == 0 {
				return nil, fmt.Errorf("option -%c needs a value", letter)
			}
			if value == "" {
				value, args = args[0], args[1:]
			}
			if err := o.value(letter, value); err != nil {
				return nil, err
			}
			letters = ""
		}
	}
	o.resolveForeground()
	for _, file := range args { // the daemon leaves this directory
		if file == "-" {
			file = "/dev/stdin"
		}
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		o.files = append(o.files, path)
	}
	return o, nil
}

func (o *options) flag(letter byte) bool {
	switch letter {
	case 'd':
		o.debug, o.foreground, o.inetd.LogStarts = true, true, true
	case 'i':
		o.foreground = true
	case 'E':
		o.keepEnv = true
	case 'l':
		o.inetd.LogStarts, o.inetd.Libwrap = true, true
	case 't':
		o.test = true
	case 'V':
		o.version = true
	case 'h', '?':
		o.help = true
	case 'w', 'W': // FreeBSD: for programs, for internal services
		o.inetd.Libwrap = true
	case 'e':
		o.busyboxStderr = true
	default:
		return false
	}
	return true
}

// dialectOf returns the dialect that a value of -f names, or Any.
func dialectOf(value string) config.Dialect {
	switch d := config.Dialect(strings.ToLower(value)); d {
	case config.Inetd, config.Xinetd, config.TOML:
		return d
	}
	return config.Any
}

func (o *options) value(letter byte, value string) error {
	numbers := map[byte]*int{'q': &o.backlog, 'R': &o.inetd.PerMinute, 'c': &o.inetd.Instances,
		'C': &o.inetd.PerSourcePerMinute, 's': &o.inetd.PerSource}
	switch letter {
	case 'a':
		o.inetd.Address = value
		return nil
	case 'f':
		o.inetd.Dialect = dialectOf(value)
		return nil
	case 'p':
		if value == "" {
			o.pidfileSet = true
			return nil
		}
		path, err := filepath.Abs(value)
		o.pidfile, o.pidfileSet = path, true
		return err
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 1<<30 {
		return fmt.Errorf("option -%c: %q is not a number from 0 to 1073741824", letter, value)
	}
	*numbers[letter] = n
	return nil
}
