package config

// A Setting is an attribute of xinetd.conf and TOML, as those see it who do not
// read configurations.
type Setting struct {
	Name      string
	Hint      string // what to write
	Bool      bool   // its value is yes or no
	List      bool   // it can have several values
	Extension bool   // xinetd does not know it
}

// AllSettings returns every setting, in the order in which they are written.
func AllSettings() []Setting {
	list := make([]Setting, 0, len(attributes))
	for _, a := range attributes {
		list = append(list, Setting{a.name, a.hint, a.kind == kindBool, a.kind == kindList || a.kind == kindScalarOrList || a.kind == kindNumbers, a.extension})
	}
	return list
}

// TOMLSetting returns the line of a setting in TOML. A setting that is not known
// is text.
func TOMLSetting(name string, values ...string) string {
	kind := kindText
	if a := attributes.find(name); a != nil {
		kind = a.kind
	}
	if kind == kindBool && values[0] != "yes" && values[0] != "no" {
		kind = kindText // which its reader rejects
	}
	return name + " = " + tomlText(kind, values) + "\n"
}

// SettingValues returns the values of a setting of a service as configurations
// have them; nil where it has none, or is one of those that say where the service
// is reached and what it is.
func SettingValues(s *Service, name string) []string {
	if a := attributes.find(name); a != nil && a.get != nil {
		return a.get(s)
	}
	return nil
}
