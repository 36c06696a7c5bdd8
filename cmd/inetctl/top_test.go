package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"goinetd/inetd/control"
)

// Keys sort the services, a look updates them, an error stays on the screen, and
// no line is longer than 80 columns nor the screen longer than the terminal.
func TestTop(t *testing.T) {
	looks := func(starts ...uint64) *control.Status {
		s := &control.Status{Program: "inetd", PID: 7}
		for i, n := range starts {
			s.Services = append(s.Services, control.Service{Name: string(rune('a' + i)), State: "listening", Starts: n, Running: 3 - i, Refused: map[string]int{"address": i},
				Listeners: []control.Listener{{Address: "tcp 0.0.0.0:7"}, {Address: "tcp [::]:7"}}})
		}
		return s
	}
	m := &topModel{order: 'c', height: 24, delay: time.Hour}
	begun := time.Now()
	m.take(looks(0, 0, 0), begun)
	order := func() (names string) {
		for _, line := range strings.Split(m.View(), "\n")[3:] {
			if strings.Contains(line, "tcp *:7") {
				names += line[:1]
			}
		}
		return names
	}
	m.take(looks(10, 30, 20), begun.Add(10*time.Second))
	if order() != "bca" || !strings.Contains(m.View(), "3.0") {
		t.Errorf("by starts in a second: %s\n%s", order(), m.View())
	}
	for _, c := range []struct{ key, want string }{{"n", "abc"}, {"f", "cba"}, {"r", "abc"}, {"s", "bca"}, {"n", "abc"}, {"c", "bca"}} {
		m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(c.key)})
		if order() != c.want {
			t.Errorf("%s: %s, want %s", c.key, order(), c.want)
		}
	}
	m.Update(lookMsg{nil, errors.New("inetd has closed the connection")})
	if !strings.Contains(m.View(), "has closed") || order() != "bca" {
		t.Errorf("%s", m.View())
	}
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 6})
	if n := strings.Count(m.View(), "\n") + 1; n > 6 {
		t.Errorf("%d lines on a screen of 6", n)
	}
	long := looks(1)
	long.Services[0].Name, long.Services[0].State = strings.Repeat("long", 20), "handed off"
	long.Services[0].Limits = map[string]int{"instances": 1000000}
	m.take(long, time.Now())
	for _, line := range strings.Split(m.View(), "\n") {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if _, cmd := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not end it")
	}
}
