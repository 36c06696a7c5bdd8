package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"goinetd/config"
)

// When it is started by the name xinetd, this program takes the options of
// xinetd(8), so that its init script goes on working.

const xinetdUsage = `usage: xinetd [-d] [-f file] [-filelog file] [-syslog facility] [-pidfile file]
              [-dontfork] [-stayalive] [-limit n] [-inetd_compat] [-version]`

var (
	xinetdFlags   = []string{"-d", "-dontfork", "-stayalive", "-inetd_compat", "-version", "-reuse", "-inetd_ipv6"}
	xinetdValues  = []string{"-f", "-filelog", "-syslog", "-pidfile", "-limit", "-logprocs", "-cc", "-shutdownprocs"}
	xinetdNumbers = []string{"-limit", "-logprocs", "-cc", "-shutdownprocs"}
)

// parseXinetdFlags reads xinetd's command line. Options that it does not know are
// passed over, as by xinetd, and said so in the log.
func parseXinetdFlags(args []string) (*options, error) {
	o := &options{xinetd: true, pidfileSet: true}
	o.files = []string{"/etc/xinetd.conf"}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		value := ""
		switch {
		case slices.Contains(xinetdFlags, arg):
		case slices.Contains(xinetdValues, arg):
			if len(args) == 0 {
				return nil, fmt.Errorf("option %s needs a value", arg)
			}
			value, args = args[0], args[1:]
		case len(arg) > 1 && arg[0] == '-':
			o.ignored = append(o.ignored, arg)
			continue
		default:
			return nil, fmt.Errorf("%q is not an option", arg)
		}
		if err := o.setXinetd(arg, value); err != nil {
			return nil, err
		}
	}
	if o.filelog != "" && o.facility != "" {
		return nil, fmt.Errorf("-filelog and -syslog exclude each other")
	}
	return o, nil
}

func (o *options) setXinetd(name, value string) (err error) {
	n := 0
	if slices.Contains(xinetdNumbers, name) {
		if n, err = strconv.Atoi(value); err != nil || n < 0 {
			return fmt.Errorf("option %s: %q is not a number", name, value)
		}
	}
	switch name {
	case "-d":
		o.debug, o.foreground, o.stayAlive = true, true, true
	case "-dontfork":
		o.foreground, o.stayAlive = true, true
	case "-stayalive":
		o.stayAlive = true
	case "-inetd_compat":
		o.compat = true
	case "-version":
		o.version = true
	case "-limit":
		o.limit = n
	case "-syslog":
		o.facility = value
	case "-f":
		o.files[0], err = filepath.Abs(value)
		o.inetd.Dialect = config.Xinetd
	case "-filelog":
		o.filelog, err = filepath.Abs(value)
	case "-pidfile":
		o.pidfile, err = filepath.Abs(value)
	case "-logprocs", "-cc", "-shutdownprocs", "-reuse", "-inetd_ipv6": // nothing is left for them to change
	}
	return err
}
