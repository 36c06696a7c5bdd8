package config

import (
	"testing"
	"time"
)

func TestUnits(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "64": 64, "64k": 65536, "64K": 65536, "64KB": 65536, "2MiB": 2 << 20, "1g": 1 << 30, "-1": -1, "k": -1, "": -1, "1.5k": -1, "9999999999G": -1} {
		got, ok := sizeOf(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("size %q: %d, %v", text, got, ok)
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "90": 90 * time.Second, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour,
		"-1": -1, "d": -1, "1x": -1, "": -1, "99999d": -1} {
		got, ok := periodOf(text, time.Second)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("time %q: %v, %v", text, got, ok)
		}
	}
	for text, want := range map[string]int{"0:00": 0, "8:30": 510, "23:59": 1439, "24:00": -1, "8": -1, "8:60": -1, "-1:00": -1} {
		got, ok := minuteOf(text, false)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("time of day %q: %d, %v", text, got, ok)
		}
	}
	if got, ok := minuteOf("24:00", true); !ok || got != 1439 {
		t.Errorf("the end of the day: %d, %v", got, ok)
	}
}
