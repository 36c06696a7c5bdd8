package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"goinetd/config"
)

func explainCommand() *cobra.Command {
	var dialect string
	c := &cobra.Command{
		Use:   "explain [-f dialect] [--file file ...] [service ...]",
		Short: "Say in plain words what the services of a configuration do",
		Long:  "Says, service by service and setting by setting, what happens to a client.\n" + filesHelp,
	}
	addDialect(c, &dialect)
	files := c.Flags().StringArray("file", nil, "a configuration, instead of the one that inetd reads")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		conf, err := load(*files, dialect, func(*config.Options) {})
		if err != nil {
			return err
		}
		printProblems(conf, cmd.ErrOrStderr())
		found := 0
		for _, s := range conf.services {
			if len(names) > 0 && !slices.Contains(names, s.ID) {
				continue
			}
			if found++; found > 1 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			printExplanation(cmd.OutOrStdout(), s)
		}
		if found == 0 {
			return fmt.Errorf("the configuration has no such service")
		}
		return nil
	}
	return c
}

func printExplanation(w io.Writer, s *config.Service) {
	fmt.Fprintf(w, "%s (%s)\n", printable(s.ID), s.Pos)
	for _, e := range explanations {
		for _, sentence := range e.say(s) {
			fmt.Fprintf(w, "  - %s\n", printable(sentence))
		}
	}
}

// An explanation is what some settings mean for a client or the program.
type explanation struct {
	settings []string
	say      func(*config.Service) []string
}

// explanations cover every setting, in the order of a connection's life.
var explanations = []explanation{
	{[]string{"listen", "port", "bind", "v6only", "protocol", "socket_type", "rpc_version", "rpc_number", "name", "id"}, sayListen},
	{[]string{"socket_user", "socket_group", "socket_mode"}, saySocketFile},
	{[]string{"sndbuf", "rcvbuf"}, sayBuffers},
	{[]string{"only_from", "no_access"}, sayAddresses},
	{[]string{"libwrap", "libwrap_fail_closed"}, sayLibwrap},
	{[]string{"access_times", "max_load"}, sayWhen},
	{[]string{"deny_time"}, saySensor},
	{[]string{"instances", "queue", "per_source", "per_source_prefix"}, sayCounts},
	{[]string{"cps", "cps_per_source", "per_minute", "per_source_per_minute"}, sayRates},
	{[]string{"banner", "banner_success", "banner_fail"}, sayBanners},
	{[]string{"type", "builtin", "quote_file", "server", "server_args", "redirect", "wait", "flags"}, sayServer},
	{[]string{"user", "group", "groups", "no_new_privs", "chroot"}, sayUser},
	{[]string{"umask", "nice", "chdir", "env", "passenv"}, sayProcess},
	{rlimitSettings(), sayRlimits},
	{[]string{"start_timeout", "idle_timeout", "session_timeout"}, sayTimes},
	{[]string{"log_type", "log_on_success", "log_on_failure"}, sayLog},
}

func one(format string, args ...any) []string { return []string{fmt.Sprintf(format, args...)} }

func sayListen(s *config.Service) (list []string) {
	if s.Mux != "" {
		return one("clients ask the internal service tcpmux for it by the name %q", s.Mux)
	}
	for _, l := range s.Listen {
		list = append(list, sayAddress(s, l))
	}
	return list
}

// sayAddress says where a service is reached.
func sayAddress(s *config.Service, l config.Listen) string {
	switch l.Network {
	case "unix":
		return fmt.Sprintf("clients connect to the Unix socket %s (%s)", l.Path, s.SocketType)
	case "systemd":
		return fmt.Sprintf("clients come to the sockets that systemd passes by the name %s", l.Host)
	}
	where := "every address"
	if l.Host != "" {
		where = l.Host
	}
	families := map[config.Family]string{config.IPv4: ", by IPv4 alone", config.IPv6: ", by IPv6 alone",
		config.Mapped: ", by IPv6, with IPv4 clients as ::ffff:a.b.c.d"}[l.Family]
	if l.Network != "tcp" && l.Network != "udp" {
		return fmt.Sprintf("a %s socket of the IP protocol %s (%d) on %s%s", s.SocketType, l.Network, l.Proto, where, families)
	}
	port := fmt.Sprintf("port %d", l.Port)
	if l.Port == 0 {
		port = "a port that inetd chooses"
	}
	text := fmt.Sprintf("clients come to %s %s on %s%s", strings.ToUpper(l.Network), port, where, families)
	if l.RPC != (config.RPC{}) {
		versions := fmt.Sprintf("version %d", l.RPC.Low)
		if l.RPC.High > l.RPC.Low {
			versions = fmt.Sprintf("versions %d to %d", l.RPC.Low, l.RPC.High)
		}
		text += fmt.Sprintf("; rpcbind(8) is told that RPC program %d, %s, is there", l.RPC.Program, versions)
	}
	return text
}

func saySocketFile(s *config.Service) (list []string) {
	for _, l := range s.Listen {
		if l.Network != "unix" {
			continue
		}
		owner, group := l.Owner, l.Group
		if owner == "" {
			owner = "inetd's user"
		}
		if group == "" {
			group = "inetd's group"
		}
		list = append(list, fmt.Sprintf("the socket's file belongs to %s and %s, with mode %04o", owner, group, l.Mode))
	}
	return list
}

func sayBuffers(s *config.Service) (list []string) {
	if s.SendBuffer > 0 {
		list = append(list, fmt.Sprintf("the socket's send buffer has %d bytes", s.SendBuffer))
	}
	if s.ReceiveBuffer > 0 {
		list = append(list, fmt.Sprintf("the socket's receive buffer has %d bytes", s.ReceiveBuffer))
	}
	return list
}

func sourcesText(sources []config.Source) string {
	var list []string
	for _, source := range sources {
		list = append(list, source.Text)
	}
	return strings.Join(list, ", ")
}

func sayAddresses(s *config.Service) (list []string) {
	switch {
	case s.OnlyFrom != nil && len(s.OnlyFrom) == 0:
		list = append(list, "nobody may come: only_from is empty")
	case s.OnlyFrom != nil:
		list = append(list, "only clients from "+sourcesText(s.OnlyFrom)+" may come")
	}
	if len(s.NoAccess) > 0 {
		list = append(list, "clients from "+sourcesText(s.NoAccess)+" are refused")
	}
	return list
}

func sayLibwrap(s *config.Service) []string {
	if s.Libwrap == "" {
		return nil
	}
	text := fmt.Sprintf("/etc/hosts.allow and /etc/hosts.deny decide about clients, by the daemon name %s", s.Libwrap)
	if s.LibwrapFailClosed {
		text += "; a rule of hosts.deny by name refuses while the name service does not answer"
	}
	return one("%s", text)
}

func sayWhen(s *config.Service) (list []string) {
	if len(s.AccessTimes) > 0 {
		var spans []string
		for _, t := range s.AccessTimes {
			spans = append(spans, fmt.Sprintf("%d:%02d to %d:%02d", t.From/60, t.From%60, t.To/60, t.To%60))
		}
		list = append(list, "clients are refused but from "+strings.Join(spans, " and ")+", local time")
	}
	if s.MaxLoad > 0 {
		list = append(list, fmt.Sprintf("clients are refused while the load average is %g or more", s.MaxLoad))
	}
	return list
}

func saySensor(s *config.Service) []string {
	if !s.Sensor {
		return nil
	}
	switch s.DenyTime {
	case 0:
		return one("it is a sensor: nobody is served, and who comes is logged")
	case config.Forever:
		return one("it is a sensor: nobody is served, and who comes is banned from every service for good")
	}
	return one("it is a sensor: nobody is served, and who comes is banned from every service for %v", s.DenyTime)
}

func sayCounts(s *config.Service) (list []string) {
	over := "further ones are refused"
	if s.Queue {
		over = "further ones wait in the queue"
	}
	switch {
	case s.Instances == config.None:
		list = append(list, "no client is served: instances is 0")
	case s.Instances > 0:
		list = append(list, fmt.Sprintf("at most %d clients are served at once; %s", s.Instances, over))
	}
	switch {
	case s.PerSource == config.None:
		list = append(list, "no client with an address is served: per_source is 0")
	case s.PerSource > 0:
		list = append(list, fmt.Sprintf("at most %d of them are one client's; further ones are refused", s.PerSource))
	}
	if p := s.PerSourcePrefix; p != (config.Prefixes{}) && p != config.DefaultPrefixes {
		list = append(list, fmt.Sprintf("all addresses of a /%d of IPv4 and of a /%d of IPv6 are one client", p.IPv4, p.IPv6))
	}
	return list
}

func sayRates(s *config.Service) (list []string) {
	if s.CPS != (config.Rate{}) {
		list = append(list, fmt.Sprintf("after more than %d starts a second the service is closed for %v", s.CPS.Max, s.CPS.Pause))
	}
	if r := s.CPSPerSource; r != (config.Rate{}) {
		list = append(list, fmt.Sprintf("a client with more than %d starts a second is refused for %v", r.Max, r.Pause))
	}
	switch {
	case s.PerMinute == config.None:
		list = append(list, "no start is allowed: per_minute (service_max) is 0")
	case s.PerMinute > 0:
		list = append(list, fmt.Sprintf("more than %d starts in a minute are taken for a loop: the service is closed for ten minutes", s.PerMinute))
	}
	switch {
	case s.PerSourcePerMinute == config.None:
		list = append(list, "no client with an address is served: per_source_per_minute (ip_max) is 0")
	case s.PerSourcePerMinute > 0:
		list = append(list, fmt.Sprintf("a client has at most %d starts in a minute; further ones are refused", s.PerSourcePerMinute))
	}
	return list
}

func sayBanners(s *config.Service) (list []string) {
	for _, b := range []struct{ who, file string }{{"every client", s.Banner}, {"clients that are let in", s.BannerSuccess}, {"clients that are refused", s.BannerFail}} {
		if b.file != "" {
			list = append(list, b.who+" get the text of "+b.file)
		}
	}
	return list
}

func sayServer(s *config.Service) (list []string) {
	switch {
	case s.Sensor:
	case s.Redirect != "":
		list = append(list, "each connection is forwarded to "+s.Redirect)
	case s.Internal != "":
		list = append(list, "inetd serves it itself: "+s.Internal)
		if s.QuoteFile != "" {
			list = append(list, "the quotes are those of "+s.QuoteFile)
		}
	case s.Wait && s.SocketType == config.Stream:
		list = append(list, "with the first client one program is started, which accepts it and all that follow: "+program(s))
	case s.Wait:
		list = append(list, "with the first datagram one program is started, which reads it and all that follow: "+program(s))
	case s.SocketType == config.Stream || s.SocketType == config.Seqpacket:
		list = append(list, "for each client a program is started, which has the connection as its standard input, output and error: "+program(s))
	default:
		list = append(list, "for each datagram a program is started, which shares the socket with inetd: "+program(s))
	}
	if s.MuxPlus {
		list = append(list, `inetd sends "+Go" before it starts`)
	}
	for _, f := range []struct {
		set  bool
		text string
	}{
		{s.NoRetry, "a start that fails for want of something is not tried again"},
		{s.IDOnly, "only clients are served whose ident server names their user"},
		{s.NoDelay, "small packets are sent at once (TCP_NODELAY)"},
		{s.KeepAlive, "a client that is gone without a word is found out (SO_KEEPALIVE)"},
	} {
		if f.set {
			list = append(list, f.text)
		}
	}
	return list
}

// program returns a program with its arguments.
func program(s *config.Service) string {
	text := s.Server
	if len(s.Args) > 0 && s.Args[0] != s.Server && !strings.HasSuffix(s.Server, "/"+s.Args[0]) {
		text += " (as " + s.Args[0] + ")"
	}
	if len(s.Args) > 1 {
		text += " " + strings.Join(s.Args[1:], " ")
	}
	return text
}

func sayUser(s *config.Service) (list []string) {
	if s.Server == "" {
		return nil
	}
	text := "it runs as user " + s.User
	switch {
	case s.Group != "" && s.Groups:
		text += ", in group " + s.Group + " and all groups of the user"
	case s.Group != "":
		text += ", in group " + s.Group + " alone"
	case !s.Groups:
		text += ", in the user's own group alone"
	default:
		text += ", in all groups of the user"
	}
	list = append(list, text)
	if s.Chroot != "" {
		list = append(list, "it sees no files but those below "+s.Chroot)
	}
	if s.NoNewPrivs {
		list = append(list, "it cannot gain privileges by executing anything (no_new_privs)")
	}
	return list
}

func sayProcess(s *config.Service) (list []string) {
	if s.Server == "" {
		return nil
	}
	if s.Umask >= 0 {
		list = append(list, fmt.Sprintf("files that it makes lose the permissions %03o (umask)", s.Umask))
	}
	if s.Nice != 0 {
		list = append(list, fmt.Sprintf("its nice value is %d more than inetd's", s.Nice))
	}
	if s.Chdir != "" {
		list = append(list, "it starts in "+s.Chdir)
	}
	if len(s.Env) > 0 {
		list = append(list, "its environment has "+strings.Join(s.Env, ", "))
	}
	switch {
	case s.PassEnv == nil:
	case slices.Contains(s.PassEnv, "*"):
		list = append(list, "it gets inetd's whole environment")
	case len(s.PassEnv) == 0:
		list = append(list, "it gets nothing of inetd's environment")
	default:
		list = append(list, "of inetd's environment it gets "+strings.Join(s.PassEnv, ", "))
	}
	return list
}

// rlimitNames say what the limits of setrlimit(2) are about.
var rlimitNames = map[string]string{"as": "bytes of address space", "core": "bytes of a core file", "cpu": "seconds of CPU time", "data": "bytes of data",
	"files": "open files", "fsize": "bytes of a file", "memlock": "bytes of locked memory", "nproc": "processes of its user", "rss": "bytes of resident memory", "stack": "bytes of stack"}

func rlimitSettings() (names []string) {
	for name := range rlimitNames {
		names = append(names, "rlimit_"+name)
	}
	return names
}

func sayRlimits(s *config.Service) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Rlimits)) {
		if n := s.Rlimits[name]; n == config.Infinity {
			list = append(list, "it may have any number of "+rlimitNames[name])
		} else {
			list = append(list, fmt.Sprintf("it may have at most %d %s", n, rlimitNames[name]))
		}
	}
	return list
}

func sayTimes(s *config.Service) (list []string) {
	if s.StartTimeout > 0 {
		list = append(list, fmt.Sprintf("a program that is not executed within %v is killed, and its client refused", s.StartTimeout))
	}
	switch {
	case s.IdleTimeout == config.Forever:
		list = append(list, "a connection may be idle for ever")
	case s.IdleTimeout > 0:
		list = append(list, fmt.Sprintf("a connection that is idle for %v is ended", s.IdleTimeout))
	}
	if s.SessionTimeout > 0 {
		list = append(list, fmt.Sprintf("it is ended after %v", s.SessionTimeout.Round(time.Second)))
	}
	return list
}

func sayLog(s *config.Service) (list []string) {
	where := "inetd's own log"
	switch t := s.LogType; {
	case t.Path != "":
		where = "the file " + t.Path
		if t.Hard > 0 {
			where += fmt.Sprintf(", up to %d bytes", t.Hard)
		}
	case t.Facility != "":
		where = fmt.Sprintf("syslog (%s.%s)", t.Facility, t.Level)
	}
	words := func(name string) string {
		return strings.Join(config.SettingValues(s, name), ", ")
	}
	if s.LogOnSuccess != 0 {
		list = append(list, "starts and exits are written to "+where+": "+words("log_on_success"))
	}
	if s.LogOnFailure != 0 {
		list = append(list, "refusals are written to "+where+": "+words("log_on_failure"))
	}
	return list
}
