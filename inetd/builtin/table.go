package builtin

import (
	"slices"

	"goinetd/config"
)

// A service is a row of the table of services that inetd serves itself.
type service struct {
	name    string
	aliases []string // its other names in services(5)
	port    int

	// stream returns the server of a new connection; nil: not served over TCP.
	stream func(o *config.BuiltinSettings) Stream
	// datagram returns the reply to a datagram, or nil for none; a nil
	// function means that the service is not served over UDP.
	datagram func(o *config.BuiltinSettings, q question) []byte
	silent   bool // it never replies to a datagram
	// fixedReply is the length in bytes of a reply that may be longer than
	// the datagram it answers. For every other service the datagram's own
	// length is the limit: whoever forges a source address must not be able
	// to make us send more than they sent.
	fixedReply int
}

// A question is a datagram that was received. The reply may be made in room,
// which holds the datagram in its first size bytes.
type question struct {
	room  []byte
	size  int
	limit int // of the reply, in bytes
}

// services is the table. A new service is a row here and a file that serves
// it. What config knows of builtins, the hints of problems, and the source
// ports that get no reply are made from it.
var services = []service{
	{name: "echo", port: 7, stream: func(*config.BuiltinSettings) Stream { return new(echo) }, datagram: echoDatagram},
	{name: "discard", aliases: []string{"sink", "null"}, port: 9,
		stream: func(*config.BuiltinSettings) Stream { return discard{} }, datagram: noReply, silent: true},
	{name: "chargen", aliases: []string{"ttytst", "source"}, port: 19,
		stream: func(*config.BuiltinSettings) Stream { return &chargen{} }, datagram: chargenDatagram},
	{name: "daytime", port: 13, stream: func(*config.BuiltinSettings) Stream { return reply(daytime) },
		datagram: func(_ *config.BuiltinSettings, q question) []byte { return daytime(q.room[:0]) }, fixedReply: len("Mon Jan _2 15:04:05 2006\r\n")},
	{name: "qotd", aliases: []string{"quote"}, port: 17, stream: qotdStream, datagram: qotdDatagram},
	{name: "time", aliases: []string{"timserver"}, port: 37, stream: func(*config.BuiltinSettings) Stream { return reply(timeOfDay) },
		datagram: func(_ *config.BuiltinSettings, q question) []byte { return timeOfDay(q.room[:0]) }, fixedReply: 4},
	{name: "tcpmux", port: 1, stream: func(*config.BuiltinSettings) Stream { return &Mux{} }},
}

// Known returns the names, ports and transports of the table's services, for
// the readers of configuration files.
func Known() []config.Builtin {
	list := make([]config.Builtin, len(services))
	for i, s := range services {
		list[i] = config.Builtin{Name: s.name, Aliases: s.aliases, Port: s.port, Stream: s.stream != nil, Datagram: s.datagram != nil}
	}
	return list
}

// A Handler is a service of the table with its settings. It never changes.
type Handler struct {
	*service
	settings config.BuiltinSettings
}

// New returns the handler of a service, or nil where the table does not have
// it.
func New(name string, settings config.BuiltinSettings) *Handler {
	i := slices.IndexFunc(services, func(s service) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return &Handler{&services[i], settings}
}

// Name returns the service's name.
func (h *Handler) Name() string { return h.name }

// Stream returns the server of a new connection.
func (h *Handler) Stream() Stream { return h.stream(&h.settings) }

// RepliesToDatagrams reports whether the service sends anything over UDP.
func (h *Handler) RepliesToDatagrams() bool { return h.datagram != nil && !h.silent }
