package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// ReplaceableBy returns who, other than root and our own user, could put
// another file in the place of path or make it a link, and the directory that
// lets them: "uid 1000", "gid 1000" or "everybody". who is empty for nobody.
// It says nothing of what cannot be looked at, and of file systems that are
// mounted read-only.
func ReplaceableBy(path string) (dir, who string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", ""
	}
	paths := []string{path}
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		paths = append(paths, target)
	}
	for _, inside := range paths {
		for inside != "/" {
			dir := filepath.Dir(inside)
			if who := writableBy(dir, inside); who != "" {
				return dir, who
			}
			inside = dir
		}
	}
	return "", ""
}

// writableBy returns who else can write to path. inside is a file of that
// directory, which is all that matters of it; empty: everything does.
func writableBy(path, inside string) string {
	var st, in unix.Stat_t
	var fs unix.Statfs_t
	switch {
	case unix.Stat(path, &st) != nil, unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0:
		return ""
	case !isOurs(st.Uid):
		return fmt.Sprintf("uid %d", st.Uid)
	case st.Mode&unix.S_ISVTX != 0 && inside != "" && unix.Lstat(inside, &in) == nil && isOurs(in.Uid):
		return "" // in /tmp, what is ours can be neither renamed nor removed
	case st.Mode&unix.S_IWOTH != 0:
		return "everybody"
	// Ubuntu's /var/log is writable for the group of its syslog daemon.
	case st.Mode&unix.S_IWGRP != 0 && st.Gid != 0 && int(st.Gid) != os.Getegid() && path != "/var/log":
		return fmt.Sprintf("gid %d", st.Gid)
	}
	return ""
}

func isOurs(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// warnWritable adds a warning where others may write to a configuration file or
// a directory of them. Of a directory that several files are in it warns once.
func (o *Options) warnWritable(problems []Problem, path string) []Problem {
	if !o.WarnWritable {
		return problems
	}
	who := writableBy(path, "")
	if who == "" {
		if path, who = ReplaceableBy(path); who == "" {
			return problems
		}
	}
	p := Problem{Pos: Pos{File: path}, Severity: Warning, Text: "may be written to by " + who + ", who can thus choose what inetd runs",
		Hint: "give it to root, and take that permission away: chown root, chmod go-w"}
	if slices.Contains(problems, p) {
		return problems
	}
	return append(problems, p)
}
