package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"goinetd/config"
)

// serve runs an inetd in the foreground with one service, which the command line
// describes.

// ofArguments are the settings that the arguments make, or that make no sense
// for a service that is served at once.
var ofArguments = []string{"id", "name", "type", "socket_type", "protocol", "port", "bind", "v6only", "listen", "server", "server_args",
	"rpc_version", "rpc_number", "redirect"}

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve address ... [--setting=value ...] -- program [argument ...]",
		Short: "Serve a program at once, without a configuration",
		Long: `Runs inetd in the foreground, which starts a program for each client. Its
standard input and output are the connection. ^C ends it.

An address is what the setting listen has: tcp:9000, tcp:127.0.0.1:9000, udp:9001,
unix:/tmp/socket, or a port alone. Port 0 is a free one. Every other setting of
inetd.toml(5) is an option.`,
		Example: `  inetctl serve 9000 -- cat
  inetctl serve tcp:127.0.0.1:9000 --instances 2 -- /bin/sh -c 'echo hello $REMOTE_ADDR'
  inetctl serve udp:9001 --builtin echo
  inetctl serve unix:/tmp/date -- date`,
		Args: cobra.MinimumNArgs(1),
	}
	var s serving
	for _, setting := range config.AllSettings() {
		if slices.Contains(ofArguments, setting.Name) {
			continue
		}
		name, usage := flagOf(setting.Name), setting.Hint
		if setting.Bool {
			c.Flags().Bool(name, false, usage)
		} else {
			c.Flags().StringArray(name, nil, usage)
		}
	}
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	show := c.Flags().Bool("show", false, "print the configuration, and serve nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := s.configuration(cmd, args)
		if err != nil {
			return err
		}
		if *show {
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "serving %s at %s (^C ends it)\n", s.what, strings.Join(s.addresses, " and "))
		return s.exec(text)
	}
	return c
}

// flagOf returns the option that sets a setting.
func flagOf(setting string) string { return strings.ReplaceAll(setting, "_", "-") }

// isSettingFlag reports whether an option of serve is a setting.
func isSettingFlag(name string) bool {
	return slices.ContainsFunc(config.AllSettings(), func(s config.Setting) bool { return flagOf(s.Name) == name })
}

// A serving is what serve is asked for.
type serving struct {
	addresses []string
	what      string // is served
}

// configuration returns the TOML file of the service.
func (s *serving) configuration(cmd *cobra.Command, args []string) (string, error) {
	addresses, program := args, []string(nil)
	if n := cmd.ArgsLenAtDash(); n >= 0 {
		addresses, program = args[:n], args[n:]
	}
	if len(addresses) == 0 {
		return "", errors.New("there is no address to listen on (inetctl serve 9000 -- cat)")
	}
	for _, a := range addresses {
		address, err := listenAddress(a)
		if err != nil {
			return "", err
		}
		s.addresses = append(s.addresses, address)
	}
	var b strings.Builder
	set := func(name string, values ...string) { b.WriteString(config.TOMLSetting(name, values...)) }
	b.WriteString("[service.served]\n")
	set("listen", s.addresses...)
	if err := s.addProgram(cmd, program, set); err != nil {
		return "", err
	}
	if !cmd.Flags().Changed("log-on-success") {
		set("log_on_success", "PID", "HOST", "PORT", "EXIT", "DURATION")
	}
	for _, setting := range config.AllSettings() {
		f := cmd.Flags().Lookup(flagOf(setting.Name))
		if f == nil || !f.Changed {
			continue
		}
		values := []string{map[string]string{"true": "yes", "false": "no"}[f.Value.String()]}
		if !setting.Bool {
			values, _ = cmd.Flags().GetStringArray(f.Name)
		}
		if setting.List && setting.Name != "env" {
			values = strings.FieldsFunc(strings.Join(values, ","), func(c rune) bool { return c == ',' || c == ' ' })
		} else if !setting.List && len(values) > 1 {
			return "", fmt.Errorf("--%s is given %d times", f.Name, len(values))
		}
		set(setting.Name, values...)
	}
	return b.String(), nil
}

// addProgram adds what is served, and as whom.
func (s *serving) addProgram(cmd *cobra.Command, program []string, set func(string, ...string)) error {
	if cmd.Flags().Changed("builtin") {
		if len(program) > 0 {
			return errors.New("--builtin does not go with a program")
		}
		builtin, _ := cmd.Flags().GetStringArray("builtin")
		s.what = strings.Join(builtin, " ")
		return nil
	}
	if len(program) == 0 {
		return errors.New("there is no program to serve (inetctl serve 9000 -- cat)")
	}
	path, err := exec.LookPath(program[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	s.what = strings.Join(program, " ")
	set("server", path)
	if len(program) > 1 {
		set("server_args", program[1:]...)
	}
	if !cmd.Flags().Changed("user") {
		set("user", currentUser())
	}
	if dir, err := os.Getwd(); err == nil && !cmd.Flags().Changed("chdir") {
		set("chdir", dir) // relative paths among the arguments are meant from here
	}
	return nil
}

// currentUser returns the name of who runs us, or the number.
func currentUser() string {
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

// listenAddress returns an address as the setting listen has it, with a free port
// for port 0.
func listenAddress(text string) (string, error) {
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		text = "tcp:" + text
	}
	network, host, _ := strings.Cut(text, ":")
	before, isAny := strings.CutSuffix(host, ":0")
	if host == "0" {
		before, isAny = "", true
	}
	if !isAny || strings.HasPrefix(network, "unix") {
		return text, nil
	}
	port, err := freePort(network, strings.Trim(before, "[]*"))
	if err != nil {
		return "", err
	}
	if before != "" {
		before += ":"
	}
	return fmt.Sprintf("%s:%s%d", network, before, port), nil
}

// freePort returns a port that nobody has now.
func freePort(network, host string) (int, error) {
	network = strings.TrimSuffix(network, "46")
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, net.JoinHostPort(host, "0"))
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := net.Listen(network, net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// exec becomes the inetd, which reads the configuration from a file in memory.
func (s *serving) exec(text string) error {
	inetd, err := findInetd()
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("inetctl serve", 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o400); err != nil { // else the daemon warns that others may write to it
		return err
	}
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(inetd, []string{"inetd", "-i", "-f", "toml", fmt.Sprintf("/dev/fd/%d", fd)}, os.Environ())
}

// findInetd returns the daemon that was installed with us, or that PATH has.
func findInetd() (string, error) {
	var candidates []string
	if self, err := os.Executable(); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(self), "inetd"), filepath.Join(filepath.Dir(filepath.Dir(self)), "sbin", "inetd"))
	}
	if path, err := exec.LookPath("inetd"); err == nil {
		candidates = append(candidates, path)
	}
	candidates = append(candidates, "/usr/sbin/inetd")
	for _, path := range candidates {
		if out, err := exec.Command(path, "-V").Output(); err == nil && strings.Contains(string(out), "(goinetd)") {
			return path, nil
		}
	}
	return "", errors.New("inetd is not found (put it beside inetctl, or into PATH)")
}
