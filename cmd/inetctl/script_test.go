package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"inetctl": main})
}

// TestScripts runs testdata/*.txt, which read like the manual page's examples.
// UPDATE=1 writes the outputs that they compare with anew.
func TestScripts(t *testing.T) {
	inetd := buildInetd(t, t.TempDir())
	testscript.Run(t, testscript.Params{Dir: "testdata", UpdateScripts: os.Getenv("UPDATE") != "", RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			switch name {
			case "promtool":
				return promtool(t) != "", nil
			case "root":
				if os.Geteuid() != 0 && os.Getenv("CI") != "" {
					return false, errors.New("root is missing")
				}
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(inetd)+":"+e.Getenv("PATH"))
			for _, dir := range filepath.SplitList(e.Getenv("PATH")) {
				if path := filepath.Join(dir, "inetctl"); e.Getenv("INETCTL") == "" && exec.Command("test", "-x", path).Run() == nil {
					e.Setenv("INETCTL", path)
				}
			}
			e.Setenv("PROMTOOL", promtool(t))
			examples, err := filepath.Abs("../../examples")
			if err != nil {
				return err
			}
			e.Setenv("EXAMPLES", examples)
			for i := range 3 {
				port, err := freePort("tcp", "127.0.0.1")
				if err != nil {
					return err
				}
				e.Setenv(fmt.Sprint("PORT", i+1), strconv.Itoa(port))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "until": until, "connect": connect, "expand": expand, "schema": schema}})
}

// promtool returns Debian's, which .ci/test has unpacked.
func promtool(t *testing.T) string {
	for _, dir := range []string{os.Getenv("GOINETD_TEST_SERVERS"), "/var/cache/goinetd-test"} {
		path := filepath.Join(dir, "prometheus/usr/bin/promtool")
		if _, err := os.Stat(path); err == nil && dir != "" {
			return path
		}
	}
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("promtool is missing")
	}
	return path
}

// buildInetd builds the daemon in a directory.
func buildInetd(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "inetd")
	build := exec.Command("go", "build", "-o", path, "../inetd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// status N ARGUMENT...: the exit status of inetctl.
func status(ts *testscript.TestScript, _ bool, args []string) {
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec("inetctl", args[1:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("inetctl %q: status %d, want %s", args[1:], got, args[0])
	}
}

const schemaFile = "../../docs/inetctl.schema.json"

// patience bounds every wait.
const patience = 30 * time.Second

// until TEXT COMMAND...: a command whose output has a text soon; with !, has not.
func until(ts *testscript.TestScript, not bool, args []string) {
	out := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		out = ts.ReadFile("stdout")
		if err == nil && strings.Contains(out, args[0]) != not {
			return
		}
	}
	ts.Fatalf("%q: never %q; the last output:\n%s", args[1:], args[0], out)
}

// connect PORT TEXT REPLY: what a client gets for a text, as long as it is
// connected, once somebody listens; with !, nobody does.
func connect(ts *testscript.TestScript, not bool, args []string) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+args[0], patience)
	for end := time.Now().Add(patience); err != nil && !not && time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // until it listens
		c, err = net.DialTimeout("tcp", "127.0.0.1:"+args[0], patience)
	}
	if not {
		if err == nil {
			c.Close()
			ts.Fatalf("port %s is open", args[0])
		}
		return
	}
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	_, err = c.Write([]byte(args[1]))
	ts.Check(err)
	buf := make([]byte, len(args[2]))
	n, _ := io.ReadFull(c, buf)
	if string(buf[:n]) != args[2] {
		ts.Fatalf("port %s: %q, want %q", args[0], buf[:n], args[2])
	}
}

// schema NAME: the last standard output is what docs/inetctl.schema.json has by that
// name, or each of its lines is.
func schema(ts *testscript.TestScript, _ bool, args []string) {
	s, err := jsonSchema(args[0])
	ts.Check(err)
	text := ts.ReadFile("stdout")
	documents := []string{text}
	if args[0] == "event" || args[0] == "step" {
		documents = strings.Split(strings.TrimSpace(text), "\n")
	}
	for _, one := range documents {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(one))
		ts.Check(err)
		if err := s.Validate(value); err != nil {
			ts.Fatalf("%v\n%s", err, one)
		}
	}
}

// jsonSchema returns one of the schemas of docs/inetctl.schema.json.
func jsonSchema(name string) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	path, err := filepath.Abs(schemaFile)
	if err != nil {
		return nil, err
	}
	return c.Compile("file://" + path + "#/$defs/" + name)
}

// expand FILE: replaces variables of the environment in a file.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}
