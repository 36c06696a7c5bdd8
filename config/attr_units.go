package config

import (
	"strconv"
	"strings"
	"time"
)

// This file reads the units of values: yes and no, times of day, times and
// sizes. They are the same in every dialect.

// boolOf reads yes and no, and what people write for them.
func boolOf(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "yes", "true", "on":
		return true, true
	case "no", "false", "off":
		return false, true
	}
	return false, false
}

// minuteOf reads a time of day. 24:00 is the end of the day, which the
// example in xinetd.conf(5) has and xinetd itself refuses.
func minuteOf(text string, end bool) (int, bool) {
	h, m, ok := strings.Cut(text, ":")
	hour, err1 := strconv.Atoi(h)
	minute, err2 := strconv.Atoi(m)
	if end && hour == 24 && minute == 0 && err1 == nil && err2 == nil {
		return 24*60 - 1, true
	}
	return hour*60 + minute, ok && err1 == nil && err2 == nil && hour >= 0 && hour < 24 && minute >= 0 && minute < 60
}

// periodOf reads a time: a number of units, or one with a unit of its own
// (90s, 1h30m; d for days).
func periodOf(text string, unit time.Duration) (time.Duration, bool) {
	const most = 100 * 365 * 24 * time.Hour
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(n) * unit, n >= 0 && n <= int64(most/unit)
	}
	days, remainder, ok := strings.Cut(text, "d")
	n := int64(0)
	if ok {
		var err error
		if n, err = strconv.ParseInt(days, 10, 64); err != nil || n < 0 || n > 36500 {
			return 0, false
		}
		text = remainder
	}
	d, err := time.ParseDuration(text)
	if text == "" && ok {
		d, err = 0, nil
	}
	d += time.Duration(n) * 24 * time.Hour
	return d, err == nil && d >= 0 && d <= most
}

// sizeOf reads bytes, with k, M or G behind them.
func sizeOf(text string) (int64, bool) {
	unit := int64(1)
	number := strings.TrimSuffix(strings.TrimSuffix(text, "B"), "i")
	if number != "" {
		switch number[len(number)-1] | 0x20 {
		case 'k':
			unit = 1 << 10
		case 'm':
			unit = 1 << 20
		case 'g':
			unit = 1 << 30
		}
		if unit > 1 {
			number = number[:len(number)-1]
		} else {
			number = text
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	return n * unit, err == nil && n >= 0 && n <= 1<<62/unit
}
