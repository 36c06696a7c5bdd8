package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Client asks one daemon.
type Client struct {
	conn  *net.UnixConn
	lines *bufio.Reader
}

// ErrNoDaemon says that no inetd answers.
var ErrNoDaemon = errors.New("no inetd answers")

// upgradeTime is how long the socket can be missing while an inetd executes its
// program again.
const upgradeTime = 500 * time.Millisecond

// Dial connects to the daemon whose socket is at a path. The error says what an
// administrator can do.
func Dial(path string) (*Client, error) {
	for end := time.Now().Add(upgradeTime); ; time.Sleep(upgradeTime / 20) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		switch {
		case err == nil:
			return &Client{conn, bufio.NewReader(conn)}, nil
		case errors.Is(err, unix.ECONNREFUSED) && time.Now().Before(end):
			continue
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
			return nil, fmt.Errorf("%w at %s: is it running? (systemctl start inetd, or inetd --control=%s)", ErrNoDaemon, path, path)
		case errors.Is(err, unix.EACCES):
			return nil, fmt.Errorf("%s: permission denied: it is for root%s", path, groupOf(path))
		}
		return nil, err
	}
}

// groupOf says which group may use a socket.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&0o020 == 0 {
		return " (inetd --control-group=GROUP lets a group use it)"
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	return fmt.Sprintf(", and for the group with the number %d", st.Gid)
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Call sends a request and returns the response. What the daemon refuses is an
// error.
func (c *Client) Call(r Request) (*Response, error) {
	if err := c.send(r); err != nil {
		return nil, err
	}
	return c.receive()
}

// Follow sends a request and calls f with each response, until f returns false
// or the connection ends. The first one is empty: from then on nothing is missed.
func (c *Client) Follow(r Request, f func(*Response) bool) error {
	if err := c.send(r); err != nil {
		return err
	}
	for {
		response, err := c.receive()
		if err != nil {
			return err
		}
		if !f(response) {
			return nil
		}
	}
}

func (c *Client) send(r Request) error {
	r.Version = Version
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = c.conn.Write(append(line, '\n'))
	if errors.Is(err, unix.EPIPE) { // it has said why it closed the connection
		return nil
	}
	return err
}

func (c *Client) receive() (*Response, error) {
	line, err := c.lines.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil, errors.New("inetd has closed the connection")
	}
	if err != nil {
		return nil, err
	}
	r := new(Response)
	if err := json.Unmarshal(line, r); err != nil {
		return nil, fmt.Errorf("response of inetd: %w", err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("inetd speaks version %d of the protocol, and this inetctl version %d", r.Version, Version)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}
