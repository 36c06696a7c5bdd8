package inetd

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed are the packages of this module that a package may import, as
// docs/architecture.md draws them. Each may import config and its leaves, and
// descriptor, sockaddr and localtime, which import none of them.
var allowed = map[string][]string{
	"inetd":            {"admit", "builtin", "control", "epoll", "handover", "hosts", "ident", "logline", "portowner", "rpcbind", "service", "socket", "spawn", "syslog"},
	"inetd/service":    {"admit", "builtin", "socket", "spawn", "syslog"},
	"inetd/handover":   {"rpcbind", "socket"},
	"inetd/spawn":      {"spawn/nofile"},
	"inetd/descriptor": {}, "inetd/sockaddr": {}, "inetd/localtime": {}, "inetd/encode": {}, "inetd/timeslice": {},
	"inetd/reliability": {}, "inetd/differences": {}, // for tests
	"inetd/admit": {}, "inetd/control": {}, "inetd/builtin": {}, "inetd/epoll": {}, "inetd/hosts": {}, "inetd/ident": {}, "inetd/logline": {},
	"inetd/portowner": {}, "inetd/rpcbind": {}, "inetd/socket": {}, "inetd/syslog": {}, "inetd/spawn/nofile": {},
	"config": {}, "config/netdb": {}, "config/syslogname": {},
}

// TestArrows checks that packages import downwards only.
func TestArrows(t *testing.T) {
	for _, top := range []string{".", "../config"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && (d.Name() == "bench" || d.Name() == "testdata") {
				return fs.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			from := filepath.Clean(filepath.Join("inetd", filepath.Dir(path)))
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			list, known := allowed[from]
			if !known {
				t.Errorf("%s is a package that docs/architecture.md does not have", from)
			}
			for _, i := range f.Imports {
				to, inModule := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), "goinetd/")
				if !inModule || strings.HasPrefix(to, "config") && strings.HasPrefix(from, "inetd") || strings.HasPrefix(to, "config/") && from == "config" ||
					to == "inetd/descriptor" || to == "inetd/sockaddr" || to == "inetd/localtime" || to == "inetd/encode" || to == "inetd/timeslice" || slices.Contains(list, strings.TrimPrefix(to, "inetd/")) {
					continue
				}
				t.Errorf("%s imports %s", path, to)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
