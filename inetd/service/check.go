package service

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"goinetd/config"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
)

// checkTimeout is how long the files of a service may take to be looked at. A
// file system that does not answer is to delay no other service.
const checkTimeout = 2 * time.Second

// FileProblems are the problems that services have with their programs and
// other files on this host.
type FileProblems map[*config.Service][]config.Problem

// CheckFiles looks at the files of services. After one that cannot be looked
// at in time, nothing more is.
func CheckFiles(confs []*config.Service) FileProblems {
	var mu sync.Mutex // guards all and looked until we have given up
	all, looked, gaveUp := FileProblems{}, 0, false
	done := make(chan struct{})
	list := slices.Clone(confs) // it may be looked at for longer than we wait
	go func() {
		defer close(done)
		fine := map[string]bool{}
		for _, conf := range list {
			problems := fileProblems(conf, fine)
			mu.Lock()
			if gaveUp {
				mu.Unlock()
				return
			}
			if problems != nil {
				all[conf] = problems
			}
			looked++
			mu.Unlock()
		}
	}()
	const looks = 20
	ticker := time.NewTicker(checkTimeout / looks)
	defer ticker.Stop()
	for before, stalled := 0, 0; ; stalled++ {
		select {
		case <-done:
			return all
		case <-ticker.C:
		}
		mu.Lock()
		if looked != before {
			stalled = 0
		}
		if stalled == looks && looked < len(list) {
			conf := list[looked]
			all[conf] = []config.Problem{conf.Problem(config.Warning, "look at the file system that they are on",
				"%s: its files could not be looked at within %v", conf.ID, checkTimeout)}
			gaveUp = true
		}
		before = looked
		mu.Unlock()
		if gaveUp {
			return all
		}
	}
}

// Check returns the problems that a service has on this host: a user or a
// group that does not exist, a program or a file that is missing. The daemon
// and `inetctl check` report them in the same words. An error among them
// means that the service cannot run.
func Check(conf *config.Service, accounts *spawn.Accounts, files FileProblems) (problems []config.Problem) {
	if _, err := accounts.Lookup(userOf(conf), conf.Group); err != nil {
		setting := "user"
		if accounts.Known(userOf(conf)) {
			setting = "group"
		}
		hint := "add the " + setting + ", or correct " + conf.Field(setting)
		if failed := (*spawn.LookupError)(nil); errors.As(err, &failed) {
			hint = "reload when that works again"
		}
		problems = append(problems, conf.ProblemOf(setting, config.Error, hint, "%v", err))
	}
	return append(problems, files[conf]...)
}

// fileProblems returns the problems of a service's program and other files.
// fine are the programs that have none: thousands of services may have the same
// one.
func fileProblems(conf *config.Service, fine map[string]bool) (problems []config.Problem) {
	if program := conf.Chroot + "\x00" + conf.Server; conf.Server != "" && !fine[program] {
		problems = checkProgram(conf)
		fine[program] = problems == nil
	}
	for _, l := range conf.Listen {
		if l.Network != "unix" || strings.HasPrefix(l.Path, "@") {
			continue
		}
		if info, err := os.Stat(filepath.Dir(l.Path)); err != nil {
			problems = append(problems, conf.Problem(config.Warning, "create it, or correct "+conf.Field("service"), "directory of the socket: %v; the service listens once it exists", err))
		} else if !info.IsDir() {
			problems = append(problems, conf.Problem(config.Warning, "correct "+conf.Field("service"), "%s is no directory, so that no socket can be in it", filepath.Dir(l.Path)))
		}
	}
	for _, f := range []struct{ setting, path string }{
		{"banner", conf.Banner}, {"banner_success", conf.BannerSuccess}, {"banner_fail", conf.BannerFail},
		{"chdir", conf.Chdir}, {"chroot", conf.Chroot}, {"log_type", directoryOf(conf.LogType.Path)}, {"quote_file", conf.QuoteFile},
	} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			problems = append(problems, conf.ProblemOf(f.setting, config.Warning, "create it, or correct "+conf.Field(f.setting), "%s: %v", f.setting, err))
		}
	}
	problems = append(problems, checkLogFile(conf)...)
	return append(problems, checkRedirect(conf)...)
}

// checkLogFile warns of a log in a directory where others could make its file a
// link, or another.
func checkLogFile(conf *config.Service) []config.Problem {
	path := conf.LogType.Path
	if path == "" || strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/") {
		return nil
	}
	dir, who := config.ReplaceableBy(path)
	if who == "" {
		return nil
	}
	return []config.Problem{conf.ProblemOf("log_type", config.Warning, "log to a directory of root's, such as /var/log",
		"log_type: %s may be written to by %s, who can thus change where the log goes", dir, who)}
}

// checkRedirect warns of a redirect that leads to the service itself. A name is
// looked up only when a client comes.
func checkRedirect(conf *config.Service) []config.Problem {
	host, port, err := net.SplitHostPort(conf.Redirect)
	if err != nil {
		return nil
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	target, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	for _, l := range conf.Listen {
		if _, err := netip.ParseAddr(l.Host); err != nil && l.Host != "" {
			continue
		}
		found, _ := socket.Addresses(l, conf.SocketType, nil)
		for _, a := range found {
			if a.Reaches(netip.AddrPortFrom(target, uint16(n))) {
				return []config.Problem{conf.ProblemOf("redirect", config.Warning, "write another address or port",
					"redirect: %s leads to the service itself; connections fail", conf.Redirect)}
			}
		}
	}
	return nil
}

func checkProgram(conf *config.Service) []config.Problem {
	// In a chroot the program's path begins at its root directory.
	info, err := os.Stat(filepath.Join(conf.Chroot, conf.Server))
	switch {
	case err != nil:
		return []config.Problem{conf.ProblemOf("server", config.Warning, "install it, or correct "+conf.Field("server"),
			"program: %v; connections fail until it exists", err)}
	case info.IsDir():
		return []config.Problem{conf.ProblemOf("server", config.Warning, "correct "+conf.Field("server"),
			"program: %s is a directory; connections fail", conf.Server)}
	case info.Mode()&0o111 == 0:
		return []config.Problem{conf.ProblemOf("server", config.Warning, "chmod +x it, or correct "+conf.Field("server"),
			"program: %s is not executable; connections fail until it is", conf.Server)}
	}
	if problem := spawn.ScriptProblem(conf.Chroot, conf.Server); problem != "" {
		return []config.Problem{conf.ProblemOf("server", config.Warning, "correct the script, or "+conf.Field("server"),
			"program: %s: %s; connections fail", conf.Server, problem)}
	}
	return nil
}

// directoryOf returns the directory that a file is to be in, "" for no file.
func directoryOf(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Dir(path)
}

// severalRPC returns a warning for an RPC service whose host name has several
// addresses of a family: rpcbind(8) has one for a program.
func severalRPC(conf *config.Service, d *Definition) []config.Problem {
	seen := map[string]bool{}
	for i := range d.Addresses {
		a := &d.Addresses[i]
		if a.RPC == (config.RPC{}) {
			return nil
		}
		place := fmt.Sprint(a.Network, a.Addr.Addr().Is4())
		if seen[place] {
			return []config.Problem{conf.ProblemOf("bind", config.Warning, "write one address", "%s: %s has several addresses, and rpcbind(8) knows a program at one: the others are not registered",
				conf.ID, conf.Listen[0].Host)}
		}
		seen[place] = true
	}
	return nil
}
