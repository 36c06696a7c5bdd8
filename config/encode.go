package config

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// MarshalJSON encodes a service for a process that comes after this one. Most
// of a service's settings are those of most others, so what is zero is left
// out; a list that is empty is not zero, because in only_from it means nobody.
func (s *Service) MarshalJSON() ([]byte, error) {
	v := reflect.ValueOf(s).Elem()
	m := map[string]any{}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() {
			m[f.Name] = v.Field(i).Interface()
		}
	}
	return json.Marshal(m)
}

// UnmarshalJSON decodes what MarshalJSON encoded. A setting that this version
// does not know is an error: the service would mean something else without
// it.
func (s *Service) UnmarshalJSON(text []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	v := reflect.ValueOf(s).Elem()
	for name, value := range m {
		f, known := v.Type().FieldByName(name)
		if !known || !f.IsExported() {
			return fmt.Errorf("unknown setting %q", name)
		}
		if err := json.Unmarshal(value, v.FieldByIndex(f.Index).Addr().Interface()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
