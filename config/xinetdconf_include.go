package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxIncludes is how deep files may include each other.
const maxIncludes = 16

// resolvePath returns the path of a file that the current one names: relative
// paths begin in its directory.
func (f *xinetdFile) resolvePath(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.name), path)
}

// include reads another file, as if it were a new one.
func (f *xinetdFile) include(path string) {
	at := f.pos()
	if slices.Contains(f.r.stack, path) || len(f.r.stack) >= maxIncludes {
		f.r.report(at, Error, "", "remove the include", path+" is included by itself, or too deep")
		return
	}
	text, err := included(path)
	if err != nil {
		f.r.report(at, Error, "", "correct the path, or remove the include", err.Error())
		return
	}
	f.r.problems = f.r.o.warnWritable(f.r.problems, path)
	if isBlank(text) {
		f.r.problems = append(f.r.problems, f.r.o.emptyFile(path))
		return
	}
	f.r.read(path, strings.TrimPrefix(text, "\ufeff")) // a byte order mark, of an editor's
}

// includeDir reads the files of a directory in the order of their names' bytes.
// As in xinetd, names with a dot or with ~ at their end are passed over.
func (f *xinetdFile) includeDir(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.r.report(f.pos(), Error, "", "correct the path, or remove the includedir", err.Error())
		return
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			continue
		}
		if strings.Contains(e.Name(), ".") || strings.HasSuffix(e.Name(), "~") {
			f.r.report(Pos{File: path}, Warning, "", "rename it without the dot if it is to be read", "not read: its name has a dot in it, or ends in ~, which includedir passes over")
			continue
		}
		f.include(path)
	}
}
