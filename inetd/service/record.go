package service

import (
	"hash/fnv"
	"net/netip"
	"strconv"
	"strings"

	"goinetd/config"
	"goinetd/inetd/encode"
	"goinetd/inetd/socket"
	"goinetd/inetd/spawn"
)

// A Record is what a definition was made of, for a process that comes after
// this one: the service, and what its users and names were then. With it the
// service can be served although its line is wrong now, or a name service
// does not answer.
type Record struct {
	Key      string
	Service  *config.Service
	Accounts map[string]*spawn.Account // by spawn.AccountKey
	Groups   map[string]uint32
	Hosts    map[string][]netip.Addr
}

// KeyHash returns a number that stands for a service in handover.Child.
func KeyHash(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()
}

// AppendRecord appends the encoded Record of a service that the Builder has
// built a definition of. It has no newline.
func (b *Builder) AppendRecord(text []byte, conf *config.Service) []byte {
	r := Record{Key: conf.Key(), Service: conf, Accounts: map[string]*spawn.Account{}}
	account := func(user, group string) {
		if a, err := b.accounts.Lookup(user, group); err == nil {
			r.Accounts[spawn.AccountKey(user, group)] = a
		}
	}
	account(userOf(conf), conf.Group)
	if conf.Group != "" {
		account(userOf(conf), "")
	}
	for _, l := range conf.Listen {
		if l.Network == "unix" {
			if l.Owner != "" {
				account(l.Owner, "")
			}
			if gid, err := b.accounts.GroupID(l.Group); l.Group != "" && err == nil {
				set(&r.Groups, l.Group, gid)
			}
		} else if addresses := b.hosts.Addresses(l.Host); addresses != nil {
			set(&r.Hosts, l.Host, addresses)
		}
	}
	return b.encoder.Append(text, &r)
}

func set[T any](m *map[string]T, key string, value T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[key] = value
}

// RecordKey returns the key of the service of an encoded Record.
func RecordKey(text []byte) string {
	key, _ := strconv.QuotedPrefix(strings.TrimPrefix(string(text), "{Key:"))
	key, _ = strconv.Unquote(key)
	return key
}

// manyServices is more than a chunk of any Slab has: how many records there are
// is not known before they are read.
const manyServices = 1 << 10

// NewRestorer returns a Builder for services of records: their users and names
// are taken from there, and it is not checked whether they could be started
// now.
func NewRestorer(o Options) *Builder {
	b := newBuilder(o, manyServices)
	b.hosts, b.unchecked = socket.Hosts{}, true
	return b
}

// Restore returns the definition of an encoded Record; nil: it is of no use.
func (b *Builder) Restore(text []byte) *Definition {
	var r Record
	if encode.Decode(text, &r) != nil || r.Service == nil {
		return nil
	}
	b.accounts.Preset(r.Accounts, r.Groups)
	for name, addresses := range r.Hosts {
		b.hosts.Preset(name, addresses)
	}
	if d, _ := b.Build(r.Service); d != nil && d.Key == r.Key {
		return d
	}
	return nil
}
