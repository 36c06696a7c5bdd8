// Package ident asks the host of a client who has a connection, by the
// Identification Protocol (RFC 1413).
package ident

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// Limit is how long a host may usually take to answer.
const Limit = 30 * time.Second

// port is the ident server's.
const port = 113

// The ways in which there is no answer, in xinetd's words.
var (
	ErrNoServer = errors.New("no server")
	ErrTimeout  = errors.New("timeout")
	ErrResponse = errors.New("bad response")
	errReceive  = errors.New("error while receiving response")
)

// An ErrorReply is an answer that names nobody: "NO-USER", "HIDDEN-USER".
type ErrorReply string

func (e ErrorReply) Error() string { return "answered " + strconv.Quote(string(e)) }

// A Reply is who has the connection.
type Reply struct {
	System string // "UNIX", "OTHER"
	User   string // as the server says; it may say anything
}

// String returns the reply as the server wrote it, but for blanks.
func (r Reply) String() string { return r.System + " :" + r.User }

// Query asks the client's host who has the connection from client to server,
// our end. The question goes out from the address that the client came to,
// and the answer has to come within the limit.
func Query(client, server netip.AddrPort, limit time.Duration) (Reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(server.Addr(), 0))}
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(client.Addr(), port).String())
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return Reply{}, ErrTimeout
		}
		return Reply{}, ErrNoServer
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	if _, err = fmt.Fprintf(c, "%d,%d\r\n", client.Port(), server.Port()); err != nil {
		return Reply{}, errReceive
	}
	// RFC 1413: not more than 1000 characters.
	line, err := bufio.NewReader(io.LimitReader(c, 1002)).ReadString('\n')
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Reply{}, ErrTimeout
	case err != nil && err != io.EOF, line == "":
		return Reply{}, errReceive
	}
	return Parse(line, client.Port(), server.Port())
}

// Parse reads an answer to a question about two ports.
func Parse(line string, client, server uint16) (Reply, error) {
	line = strings.TrimRight(line, "\r\n")
	ports, remainder, ok := strings.Cut(line, ":")
	kind, remainder, ok2 := strings.Cut(remainder, ":")
	if !ok || !ok2 || !about(ports, client, server) {
		return Reply{}, ErrResponse
	}
	switch strings.ToUpper(strings.TrimSpace(kind)) {
	case "ERROR":
		return Reply{}, ErrorReply(strings.TrimSpace(remainder))
	case "USERID":
	default:
		return Reply{}, ErrResponse
	}
	system, user, ok := strings.Cut(remainder, ":")
	system, user = strings.TrimSpace(system), strings.TrimLeft(user, " \t")
	if !ok || user == "" || len(user) > 512 || strings.ContainsAny(user, "\x00\r\n") {
		return Reply{}, ErrResponse
	}
	return Reply{system, user}, nil
}

func about(ports string, client, server uint16) bool {
	a, b, ok := strings.Cut(ports, ",")
	x, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	y, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	return ok && err1 == nil && err2 == nil && uint16(x) == client && uint16(y) == server
}
