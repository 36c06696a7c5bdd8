// Package control is the Unix socket by which inetctl(8) asks a running inetd
// for its state, and has it do things.
//
// Both sides send lines of JSON. The client sends a [Request] and reads one
// [Response], or after the verbs "events" and "trace" one for each [Event] or
// [Step]; then it may send the next request. A field that a side does not know
// it passes over, so that versions of both sides need not be equal; [Version] is
// raised where that is not enough.
package control

import "time"

// Version is that of the protocol.
const Version = 1

// Path is where the inetd of the system has its socket.
const Path = "/run/inetd/control"

// The verbs of a Request.
const (
	VerbStatus  = "status"  // Service: one service; empty: all
	VerbReload  = "reload"  // read the configuration, and wait until it is served
	VerbUpgrade = "upgrade" // execute the program's file again
	VerbStart   = "start"   // undo stop, pause and drain of Service
	VerbStop    = "stop"    // clients of Service are refused until it is started, or a reload
	VerbPause   = "pause"   // they wait in the queue
	VerbDrain   = "drain"   // stop, and wait until nobody is served
	VerbKick    = "kick"    // end programs: Target
	VerbEvents  = "events"  // follow what happens, of Service if that is set
	VerbTrace   = "trace"   // follow the next N connections step by step, of Service if that is set
	VerbWhy     = "why"     // would a client of Service be let in that comes from Target?
)

// A Request is what a client asks for.
type Request struct {
	Version int    `json:"version"`
	Verb    string `json:"verb"`
	Service string `json:"service,omitempty"`
	Target  string `json:"target,omitempty"` // a pid, an address, or a service's name; of why an address
	N       int    `json:"n,omitempty"`      // of trace: how many connections; 0: all
	To      string `json:"to,omitempty"`     // of why: the address of ours that the client comes to; empty: the one that we would send from
}

// A Response is the answer to a Request.
type Response struct {
	Version  int       `json:"version"`
	Error    string    `json:"error,omitempty"` // empty: it was done
	Status   *Status   `json:"status,omitempty"`
	Problems []Problem `json:"problems,omitempty"` // of a configuration that was read
	Ended    int       `json:"ended,omitempty"`    // programs that were sent SIGTERM
	Event    *Event    `json:"event,omitempty"`
	Step     *Step     `json:"step,omitempty"`
	Verdict  *Verdict  `json:"verdict,omitempty"`
}

// A Verdict is what would happen to a client.
type Verdict struct {
	Service  string   `json:"service"`
	Client   string   `json:"client"`
	Position string   `json:"position"` // of the service: "inetd.toml:12"
	Admitted bool     `json:"admitted"`
	Reason   string   `json:"reason,omitempty"` // of the FAIL line
	Rule     string   `json:"rule,omitempty"`   // that decides: "no_access 192.0.2.0/24, xinetd.d/tftp:9"
	Notes    []string `json:"notes,omitempty"`
}

// A Status is the state of the daemon at one moment.
type Status struct {
	Program  string    `json:"program"` // "inetd (goinetd) 1.0"
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Refused  int       `json:"refused"` // clients, since the start
	Services []Service `json:"services"`
	Programs []Program `json:"programs"`
	Problems []Problem `json:"problems"` // of the configuration that is served
}

// A Service is the state of one service.
type Service struct {
	Name      string         `json:"name"`
	File      string         `json:"file"`
	Line      int            `json:"line"`
	Type      string         `json:"type"` // "stream", "dgram", ...
	Wait      bool           `json:"wait"`
	User      string         `json:"user"`
	Server    string         `json:"server"` // the program's path, "internal echo", or "redirect host:port"
	State     string         `json:"state"`  // "listening", or the state of a listener that does not
	Listeners []Listener     `json:"listeners"`
	Running   int            `json:"running"`          // clients that are served
	Limits    map[string]int `json:"limits,omitempty"` // by setting: "instances", "per_source", ...
	Starts    uint64         `json:"starts"`           // since the start of the daemon
	PerMinute int            `json:"per_minute"`       // starts in the window of that setting
	Refused   map[string]int `json:"refused,omitempty"`
	Last      string         `json:"last,omitempty"` // address of the last client
	LastTime  *time.Time     `json:"last_time,omitempty"`
}

// A Listener is the state of one socket.
type Listener struct {
	Address string `json:"address"` // "tcp 127.0.0.1:7"
	State   string `json:"state"`   // "listening", "full", "suspended", ...
	Queue   *int   `json:"queue,omitempty"`
}

// A Program is one that runs.
type Program struct {
	Service string        `json:"service"`
	PID     int           `json:"pid"`
	Client  string        `json:"client,omitempty"` // address; empty: none is known
	Port    int           `json:"port,omitempty"`
	User    string        `json:"user"`
	Since   time.Duration `json:"since"` // nanoseconds
}

// A Problem is one of the configuration.
type Problem struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity"` // "error" or "warning"
	Service  string `json:"service,omitempty"`
	Text     string `json:"text"`
	Hint     string `json:"hint,omitempty"`
}

// A Step is one of a connection that is traced.
type Step struct {
	Time       time.Time     `json:"time"`
	Connection int           `json:"connection"` // they are counted from 1
	Service    string        `json:"service"`
	Client     string        `json:"client,omitempty"` // address and port; empty: none is known
	PID        int           `json:"pid,omitempty"`    // of the program; 0: there is none yet
	After      time.Duration `json:"after"`            // nanoseconds since the first step
	Name       string        `json:"name"`             // "accepted", "setuid", "exit", ...
	Text       string        `json:"text"`
	Last       bool          `json:"last,omitempty"`
	Missed     int           `json:"missed,omitempty"` // of the first step: connections before it that were not traced, as there were too many
}

// An Event is something that happened.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"` // "start", "exit", "refused", "log"
	Service string    `json:"service,omitempty"`
	Client  string    `json:"client,omitempty"`
	PID     int       `json:"pid,omitempty"`
	Text    string    `json:"text"` // the log's line
}
