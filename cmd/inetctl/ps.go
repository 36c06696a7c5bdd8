package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"goinetd/inetd/control"
)

// A process is a program that runs, with what proc(5) has of it.
type process struct {
	control.Program
	CPU     time.Duration `json:"cpu"`    // nanoseconds
	Memory  int64         `json:"memory"` // resident, bytes
	Command string        `json:"command"`
}

func psCommand() *cobra.Command {
	c := &cobra.Command{Use: "ps [--json] [service]", Short: "Print the programs that serve clients", Args: cobra.MaximumNArgs(1), ValidArgsFunction: serviceNames}
	socket := addSocket(c)
	asJSON := c.Flags().Bool("json", false, "print a JSON array")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		status, err := statusOf(*socket, names...)
		if err != nil {
			return err
		}
		if *asJSON {
			list := []process{}
			for _, p := range status.Programs {
				list = append(list, processOf(p))
			}
			printJSON(cmd.OutOrStdout(), list)
			return nil
		}
		printPrograms(cmd.OutOrStdout(), status.Programs)
		return nil
	}
	return c
}

func printPrograms(w io.Writer, programs []control.Program) {
	var rows [][]string
	for _, p := range programs {
		one := processOf(p)
		client := p.Client
		if client == "" {
			client = "-"
		}
		rows = append(rows, []string{strconv.Itoa(p.PID), p.Service, client, p.User, age(p.Since), fmt.Sprintf("%.1fs", one.CPU.Seconds()), size(one.Memory), one.Command})
	}
	printTable(w, []column{{"PID", 7}, {"SERVICE", 12}, {"CLIENT", 15}, {"USER", 8}, {"AGE", 4}, {"CPU", 6}, {"MEM", 5}, {"COMMAND", 14}}, rows)
}

// clockTick is the unit of times in proc(5): USER_HZ, which is 100 on all
// architectures that Go knows.
const clockTick = time.Second / 100

// processOf adds what proc(5) has of a program; nothing where it has ended.
func processOf(p control.Program) process {
	one := process{Program: p}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(f) > 21 {
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		one.CPU, one.Memory = time.Duration(user+system)*clockTick, pages*int64(os.Getpagesize())
	}
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	one.Command = strings.TrimRight(strings.ReplaceAll(string(command), "\x00", " "), " ")
	return one
}
