package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// include reads the files that NetBSD's ".include PATTERN" names: by a glob(7)
// pattern, from the directory of the current file. They inherit the default
// address list. As in a directory of files, what editors and package managers
// leave behind is passed over.
func (r *inetdReader) include(f []string) {
	if len(f) == 0 {
		r.report(Error, "", faultf("write .include /etc/inetd.d/*, or remove it", ".include names no file"))
		return
	}
	pattern := f[0]
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(r.file), pattern)
	}
	if !strings.ContainsAny(pattern, "*?[") {
		r.includeFile(pattern)
		return
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		r.report(Error, "", faultf("correct the pattern", ".include %s: %v", f[0], err))
		return
	}
	if dir := filepath.Dir(pattern); !strings.ContainsAny(dir, "*?[") { // Glob takes one that it cannot read for an empty one
		if _, err := os.ReadDir(dir); err != nil {
			r.report(Error, "", faultf("create it, correct the pattern, or remove the .include", "%v", err))
			return
		}
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() || strings.HasPrefix(filepath.Base(path), ".") && !strings.HasPrefix(filepath.Base(pattern), ".") {
			continue
		}
		if isLeftover(filepath.Base(path)) {
			r.problems = append(r.problems, leftover(path))
			continue
		}
		r.includeFile(path)
	}
}

func (r *inetdReader) includeFile(path string) {
	path = filepath.Clean(path)
	if slices.Contains(r.stack, path) || len(r.stack) >= maxIncludes {
		r.report(Error, "", faultf("remove the .include", "%s is included by itself, or too deep", path))
		return
	}
	text, err := included(path)
	if err != nil {
		r.report(Error, "", faultf("correct the path, or remove the .include", "%v", err))
		return
	}
	r.problems = r.o.warnWritable(r.problems, path)
	if isBlank(text) {
		r.problems = append(r.problems, r.o.emptyFile(path))
		return
	}
	inner := &inetdReader{file: path, stack: append(slices.Clip(r.stack), path), o: r.o, etc: r.etc, shared: r.shared, hosts: r.hosts,
		comments: r.comments}
	inner.read(text)
	r.comments = nil
	r.services = append(r.services, inner.services...)
	r.problems = append(r.problems, inner.problems...)
}

// included returns the text of a file that another one includes.
func included(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("not a file")}
	}
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
