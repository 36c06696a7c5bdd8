package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"goinetd/inetd/control"
)

func topCommand() *cobra.Command {
	c := &cobra.Command{Use: "top [-d seconds]", Short: "Print the state of the services again and again, the busiest first", Args: cobra.NoArgs,
		Long: "Prints the state of the services every second. Keys: c starts in a second,\nr running, s starts, f refused, n name: sorts by it; q ends."}
	socket := addSocket(c)
	delay := c.Flags().Float64P("delay", "d", 1, "seconds between two looks")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		m := &topModel{delay: time.Duration(*delay * float64(time.Second)), order: 'c', height: 24}
		m.ask = func() (*control.Status, error) { return statusOf(*socket) }
		status, err := m.ask() // without a daemon, the screen stays as it is
		if err != nil {
			return err
		}
		m.take(status, time.Now())
		_, err = tea.NewProgram(m, tea.WithAltScreen(), tea.WithOutput(cmd.OutOrStdout())).Run()
		return err
	}
	return c
}

// A topModel is what top shows.
type topModel struct {
	ask    func() (*control.Status, error)
	delay  time.Duration
	order  rune // that of the key which chose it
	height int
	rows   []topRow
	status *control.Status
	at     time.Time
	err    error // of the last look
}

// A topRow is a service, with the starts in a second since the look before.
type topRow struct {
	*control.Service
	refused int
	rate    float64
}

type lookMsg struct {
	status *control.Status
	err    error
}

func (m *topModel) Init() tea.Cmd { return m.later() }

func (m *topModel) later() tea.Cmd {
	return tea.Tick(m.delay, func(time.Time) tea.Msg {
		status, err := m.ask()
		return lookMsg{status, err}
	})
}

// Update takes a key, a size, or what a look has seen.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.height = msg.Height
	case tea.KeyMsg:
		switch key := msg.String(); key {
		case "q", "ctrl+c", "esc":
			return m, tea.Quit
		case "c", "r", "s", "f", "n":
			m.order = rune(key[0])
			m.sort()
		}
	case lookMsg:
		if m.err = msg.err; m.err == nil {
			m.take(msg.status, time.Now())
		}
		return m, m.later()
	}
	return m, nil
}

// take takes what a look has seen.
func (m *topModel) take(status *control.Status, now time.Time) {
	before := map[string]uint64{}
	for _, r := range m.rows {
		before[r.key()] = r.Starts
	}
	passed := now.Sub(m.at).Seconds()
	m.rows = nil
	for i := range status.Services {
		r := topRow{Service: &status.Services[i], refused: sum(status.Services[i].Refused)}
		if n, known := before[r.key()]; known && r.Starts >= n && passed > 0 {
			r.rate = float64(r.Starts-n) / passed
		}
		m.rows = append(m.rows, r)
	}
	m.status, m.at = status, now
	m.sort()
}

// key distinguishes services of one name.
func (r *topRow) key() string { return r.Name + addressesOf(r.Service) }

func (m *topModel) sort() {
	slices.SortStableFunc(m.rows, func(a, b topRow) int {
		byOrder := map[rune]int{'c': cmp.Compare(b.rate, a.rate), 'r': cmp.Compare(b.Running, a.Running), 's': cmp.Compare(b.Starts, a.Starts),
			'f': cmp.Compare(b.refused, a.refused)}[m.order]
		return cmp.Or(byOrder, cmp.Compare(a.Name, b.Name))
	})
}

// View returns the screen.
func (m *topModel) View() string {
	s := m.status
	var b strings.Builder
	fmt.Fprintf(&b, "%s, pid %d: %s, %s running, %s refused\n", s.Program, s.PID, count(len(s.Services), "service"), count(len(s.Programs), "program"), count(s.Refused, "client"))
	switch {
	case m.err != nil:
		fmt.Fprintf(&b, "%v\n", m.err)
	case len(s.Problems) > 0:
		fmt.Fprintf(&b, "%s in the configuration (inetctl status)\n", count(len(s.Problems), "problem"))
	default:
		b.WriteString("\n")
	}
	const heading, footer = 3, 1 // lines
	var rows [][]string
	for _, r := range m.rows[:max(0, min(len(m.rows), m.height-heading-footer))] {
		last := "-"
		if r.LastTime != nil {
			last = age(m.at.Sub(*r.LastTime))
		}
		rows = append(rows, []string{r.Name, addressesOf(r.Service), r.State, fmt.Sprintf("%.1f", r.rate), runningOf(r.Service), fmt.Sprint(r.Starts), fmt.Sprint(r.refused), last})
	}
	printTable(&b, []column{{"SERVICE", 12}, {"ADDRESS", 19}, {"STATE", 9}, {"START/S", 7}, {"RUNNING", 7}, {"STARTS", 7}, {"REFUSED", 7}, {"LAST", 4}}, rows)
	b.WriteString("sort: start/s c, running r, starts s, refused f, name n; quit q")
	return b.String()
}
