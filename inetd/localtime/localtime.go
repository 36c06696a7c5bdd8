// Package localtime has the time in the host's zone. Package time reads the
// zone once, and a zone can change while the daemon runs.
package localtime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

var zone atomic.Pointer[time.Location] // nil: what package time has read

// Now returns the time in the zone that was read last.
func Now() time.Time {
	now := time.Now()
	if l := zone.Load(); l != nil {
		return now.In(l)
	}
	return now
}

// Reload reads the zone again that TZ names, or else /etc/localtime. After an
// error the zone stays what it was.
func Reload() error {
	l, err := read(os.LookupEnv("TZ"))
	if err != nil {
		return fmt.Errorf("time zone: %w (the one of before holds)", err)
	}
	zone.Store(l)
	return nil
}

func read(tz string, set bool) (*time.Location, error) {
	tz = strings.TrimPrefix(tz, ":")
	path := "/etc/localtime"
	switch {
	case set && filepath.IsAbs(tz):
		path = tz
	case set:
		return time.LoadLocation(tz) // "" is UTC
	}
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) && !set {
		return time.UTC, nil // tzset(3)
	}
	if err != nil {
		return nil, err
	}
	l, err := time.LoadLocationFromTZData("Local", text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}
