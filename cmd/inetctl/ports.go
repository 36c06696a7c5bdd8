package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"goinetd/inetd/control"
	"goinetd/inetd/portowner"
)

// A port is a socket of the host that clients can reach, or one that a service
// should have and has not.
type port struct {
	Network string `json:"network"`           // "tcp", "tcp6", "udp", "udp6", "unix"
	Address string `json:"address"`           // "127.0.0.1:7", or a path
	Service string `json:"service,omitempty"` // of the running inetd
	PID     int    `json:"pid,omitempty"`
	Owner   string `json:"owner"`            // "pid 812 (nginx, user www-data, nginx.service, ...)"
	Stop    string `json:"stop,omitempty"`   // the command that ends it for good
	Answer  string `json:"answer,omitempty"` // of --scan: "open", "closed", "no answer", ...
	Missing bool   `json:"missing,omitempty"`
}

func portsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ports [--scan] [--unix] [--json]",
		Short: "Print which sockets of this host clients can reach, whose they are, and what started those",
		Long: `Prints the TCP and UDP sockets of this host that clients can reach, the process
that has each, and what started it. What the running inetd serves is marked by its
service; a service that has no socket is listed, too. With --scan it connects to
every TCP port, on 127.0.0.1, ::1 or the socket's own address. Without root it
sees only the processes of its own user.`,
		Args: cobra.NoArgs,
	}
	socket := addSocket(c)
	asJSON := c.Flags().Bool("json", false, "print a JSON array")
	scan := c.Flags().Bool("scan", false, "connect to every TCP port")
	withUnix := c.Flags().Bool("unix", false, "print Unix sockets as well")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := statusOf(*socket)
		if errors.Is(err, control.ErrNoDaemon) {
			status, err = &control.Status{}, nil
		}
		if err != nil {
			return err
		}
		list := portsOf(portowner.Scan().Listening(), status, *withUnix)
		if *scan {
			scanAll(list)
		}
		if *asJSON {
			printJSON(cmd.OutOrStdout(), list)
			return nil
		}
		printPorts(cmd.OutOrStdout(), list, *scan)
		return nil
	}
	return c
}

// portsOf joins what listens on the host with what inetd serves.
func portsOf(listening []portowner.Listening, status *control.Status, withUnix bool) []port {
	list := []port{}
	served := servedAddresses(status)
	for _, l := range listening {
		if l.Network == "unix" && !withUnix {
			continue
		}
		p := port{Network: l.Network, Address: l.Addr.String(), Owner: l.Owner.Desc, Stop: l.Owner.StopCmd}
		if l.Network == "unix" {
			p.Address = l.Path
		}
		if len(l.PIDs) > 0 {
			p.PID = l.PIDs[0]
		} else {
			p.Owner = "a process that may not be seen (another user's, or in another namespace)"
		}
		key := strings.TrimSuffix(l.Network, "6") + " " + p.Address
		if name, ok := served[key]; ok && slices.Contains(l.PIDs, status.PID) {
			p.Service = name
			delete(served, key)
		}
		list = append(list, p)
	}
	for key, name := range served {
		network, address, _ := strings.Cut(key, " ")
		if network != "tcp" && network != "udp" && !(network == "unix" && withUnix) {
			continue
		}
		list = append(list, port{Network: network, Address: address, Service: name, Missing: true, Owner: "nobody, and it should be the service's (inetctl status " + name + ")"})
	}
	return list
}

// servedAddresses returns the names of services by "tcp 127.0.0.1:7".
func servedAddresses(status *control.Status) map[string]string {
	served := map[string]string{}
	for _, s := range status.Services {
		for _, l := range s.Listeners {
			f := strings.Fields(strings.TrimPrefix(l.Address, "rpc/"))
			if len(f) > 1 {
				served[f[0]+" "+f[1]] = s.Name
			}
		}
	}
	return served
}

func printPorts(w io.Writer, list []port, scanned bool) {
	var rows [][]string
	for _, p := range list {
		service := p.Service
		if service == "" {
			service = "-"
		}
		row := []string{p.Network, p.Address, service, p.Owner}
		if scanned {
			row = slices.Insert(row, 3, p.Answer)
		}
		rows = append(rows, row)
	}
	columns := []column{{"NET", 4}, {"ADDRESS", 21}, {"SERVICE", 12}, {"OWNER", 37}}
	if scanned {
		columns = []column{{"NET", 4}, {"ADDRESS", 21}, {"SERVICE", 10}, {"ANSWER", 9}, {"OWNER", 28}}
	}
	printTable(w, columns, rows)
	for _, p := range list {
		if p.Service == "" && p.Stop != "" {
			fmt.Fprintf(w, "\nto end what inetd does not serve for good:\n")
			break
		}
	}
	seen := map[string]bool{}
	for _, p := range list {
		if p.Service == "" && p.Stop != "" && !seen[p.Stop] {
			seen[p.Stop] = true
			fmt.Fprintf(w, "%8s %s: %s\n", p.Network, p.Address, printable(p.Stop))
		}
	}
}

// scanTimeout is how long a port may take to answer.
const scanTimeout = 2 * time.Second

// scanAll connects to the TCP ports, some at a time.
func scanAll(list []port) {
	const atOnce = 16
	slots := make(chan struct{}, atOnce)
	for i := range list {
		slots <- struct{}{}
		go func() {
			list[i].Answer = scan(list[i])
			<-slots
		}()
	}
	for range atOnce {
		slots <- struct{}{}
	}
}

// scan connects to a port.
func scan(p port) string {
	if !strings.HasPrefix(p.Network, "tcp") {
		return "-"
	}
	at, err := netip.ParseAddrPort(p.Address)
	if err != nil {
		return "-"
	}
	if at.Addr().IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if at.Addr().Is6() {
			loopback = netip.IPv6Loopback()
		}
		at = netip.AddrPortFrom(loopback, at.Port())
	}
	c, err := net.DialTimeout("tcp", at.String(), scanTimeout)
	var timeout net.Error
	switch {
	case err == nil:
		c.Close()
		return "open"
	case errors.Is(err, unix.ECONNREFUSED):
		return "closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	}
	return "unreachable"
}
