package admit

import (
	"time"

	"goinetd/config"
)

// InTimes reports whether a moment is within the access times. No times mean
// always.
func InTimes(spans []config.Span, now time.Time) bool {
	if len(spans) == 0 {
		return true
	}
	minute := now.Hour()*60 + now.Minute()
	for _, s := range spans {
		if s.From <= s.To && minute >= s.From && minute <= s.To || s.From > s.To && (minute >= s.From || minute <= s.To) {
			return true
		}
	}
	return false
}
