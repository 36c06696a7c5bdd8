package service

import (
	"encoding/json"
	"net/netip"

	"goinetd/config"
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
	Accounts map[string]*spawn.Account `json:",omitempty"` // by spawn.AccountKey
	Groups   map[string]uint32         `json:",omitempty"`
	Hosts    map[string][]netip.Addr   `json:",omitempty"`
}

// Record returns the encoded Record of a service that the Builder has built a
// definition of.
func (b *Builder) Record(conf *config.Service) (json.RawMessage, error) {
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
	return json.Marshal(r)
}

func set[T any](m *map[string]T, key string, value T) {
	if *m == nil {
		*m = map[string]T{}
	}
	(*m)[key] = value
}

// Accounts returns what the Builder looks up users and groups in.
func (b *Builder) Accounts() *spawn.Accounts { return b.accounts }

// ReadRecords decodes records. It returns how many it could not decode.
func ReadRecords(list []json.RawMessage) (records []*Record, bad int) {
	for _, text := range list {
		r := new(Record)
		if json.Unmarshal(text, r) != nil || r.Service == nil {
			bad++
			continue
		}
		records = append(records, r)
	}
	return records, bad
}

// NewBuilderOf returns a Builder for the services of records. It takes their
// users and names from there, and does not check whether the services could
// be started now.
func NewBuilderOf(o Options, records []*Record) *Builder {
	confs := make([]*config.Service, len(records))
	accounts, hosts := spawn.NewAccounts(), socket.Hosts{}
	for i, r := range records {
		confs[i] = r.Service
		accounts.Preset(r.Accounts, r.Groups)
		for name, addresses := range r.Hosts {
			hosts.Preset(name, addresses)
		}
	}
	b := newBuilder(o, len(confs))
	b.accounts, b.hosts, b.unchecked = accounts, hosts, true
	return b
}
