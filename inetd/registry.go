package inetd

import (
	"maps"
	"slices"
	"strings"

	"goinetd/inetd/service"
)

// A registry has the services that are served. It is guarded by Server.mu.
type registry struct {
	byKey map[string]*activeService // by config.Service.Key
	byMux map[string]*activeService // behind tcpmux, by name in lower case
	slab  service.Slab[activeService]
}

func newRegistry() registry {
	return registry{byKey: map[string]*activeService{}, byMux: map[string]*activeService{}}
}

func (r *registry) len() int { return len(r.byKey) }

// keys returns the keys in order.
func (r *registry) keys() []string { return slices.Sorted(maps.Keys(r.byKey)) }

// muxNames returns the names behind tcpmux in order.
func (r *registry) muxNames() []string {
	var names []string
	for _, svc := range r.byMux {
		names = append(names, svc.def.Mux)
	}
	slices.Sort(names)
	return names
}

func (r *registry) remove(svc *activeService) {
	if r.byKey[svc.def.Key] == svc {
		delete(r.byKey, svc.def.Key)
		svc.def = svc.def.Clone()
	}
}

// replace takes the services of a new configuration, and returns how many of
// their keys are new and how many are gone.
func (r *registry) replace(next map[string]*activeService) (added, removed int) {
	for key := range next {
		if r.byKey[key] == nil {
			added++
		}
	}
	removed = len(r.byKey) + added - len(next)
	for _, svc := range r.byKey {
		if next[svc.def.Key] != svc {
			svc.def = svc.def.Clone()
		}
	}
	r.byKey = next
	return added, removed
}

// moved returns the services that get another address, by their new keys: of
// their name one service is not configured any more and one is new. Where
// there are more it is not known which is which.
func (r *registry) moved(defs []*service.Definition) map[string]*activeService {
	if r.len() == 0 {
		return nil
	}
	configured, came, gone := map[string]bool{}, map[string][]string{}, map[string][]*activeService{}
	for _, d := range defs {
		configured[d.Key] = true
		if r.byKey[d.Key] == nil {
			came[d.NameKey()] = append(came[d.NameKey()], d.Key)
		}
	}
	for key, svc := range r.byKey {
		if !configured[key] {
			gone[svc.def.NameKey()] = append(gone[svc.def.NameKey()], svc)
		}
	}
	moved := map[string]*activeService{}
	for name, keys := range came {
		if len(keys) == 1 && len(gone[name]) == 1 {
			moved[keys[0]] = gone[name][0]
		}
	}
	return moved
}

// indexMux rebuilds byMux.
func (r *registry) indexMux() {
	clear(r.byMux)
	for _, svc := range r.byKey {
		if svc.def.Mux != "" {
			r.byMux[strings.ToLower(svc.def.Mux)] = svc
		}
	}
}
