package config

// known is a table of builtins as package inetd/builtin passes it in.
var known = []Builtin{
	{Name: "echo", Port: 7, Stream: true, Datagram: true},
	{Name: "discard", Aliases: []string{"sink", "null"}, Port: 9, Stream: true, Datagram: true},
	{Name: "chargen", Aliases: []string{"ttytst", "source"}, Port: 19, Stream: true, Datagram: true},
	{Name: "daytime", Port: 13, Stream: true, Datagram: true},
	{Name: "qotd", Aliases: []string{"quote"}, Port: 17, Stream: true, Datagram: true},
	{Name: "time", Aliases: []string{"timserver"}, Port: 37, Stream: true, Datagram: true},
	{Name: "tcpmux", Port: 1, Stream: true},
}
