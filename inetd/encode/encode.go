// Package encode writes Go values as one line of text, and reads them again,
// for the process that comes after this one.
//
// It is not encoding/json for two reasons: strings come out as they went in
// although they are no UTF-8, as paths and arguments need not be, and a daemon
// that encodes once in a reload keeps no tables of its types in memory.
//
//	{Name:"echo" Port:7 Hosts:["192.0.2.1" "2001:db8::1"] Limits:{"cpu":20}}
//
// A field that is zero is left out; a list that is empty is not zero. A field
// that the reader's type does not have is an error. The fields of a struct that
// is embedded by a pointer are written as fields of the outer struct.
package encode

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"unsafe"
)

// Append appends a value: a number, a string, a bool, an encoding.TextMarshaler,
// a slice or a map with string keys of such, a struct with exported fields of
// such, or a pointer to one that is not nil.
func Append(b []byte, v any) []byte { return new(Encoder).Append(b, v) }

// An Encoder is for many values: it remembers what it has learnt of their
// types, and the text of the last struct that was embedded by a pointer: such a
// struct must not change between two values. The zero value has learnt nothing.
type Encoder struct {
	marshals map[reflect.Type]bool // an encoding.TextMarshaler
	fields   map[reflect.Type][]field

	embedded unsafe.Pointer // the last struct that was embedded by a pointer
	text     []byte         // its fields
}

// A field is one of a struct's that is written.
type field struct {
	index int
	label string // its name and a colon; empty: an embedded pointer
}

// Append appends a value as the function Append does.
func (e *Encoder) Append(b []byte, v any) []byte {
	if e.fields == nil {
		e.marshals, e.fields = map[reflect.Type]bool{}, map[reflect.Type][]field{}
	}
	return e.appendValue(b, reflect.ValueOf(v))
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

func (e *Encoder) isMarshaler(t reflect.Type) bool {
	is, known := e.marshals[t]
	if !known {
		is = t.Kind() != reflect.Pointer && t.Implements(textMarshaler)
		e.marshals[t] = is
	}
	return is
}

func (e *Encoder) fieldsOf(t reflect.Type) []field {
	list, known := e.fields[t]
	if !known {
		for i := range t.NumField() {
			switch f := t.Field(i); {
			case !f.IsExported() || f.Tag.Get("encode") == "-":
			case isEmbedded(f):
				list = append(list, field{i, ""})
			default:
				list = append(list, field{i, f.Name + ":"})
			}
		}
		e.fields[t] = list
	}
	return list
}

func (e *Encoder) appendValue(b []byte, v reflect.Value) []byte {
	if e.isMarshaler(v.Type()) {
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			panic(err) // times and addresses of ours have texts
		}
		return strconv.AppendQuote(b, string(text))
	}
	switch v.Kind() {
	case reflect.Pointer:
		return e.appendValue(b, v.Elem())
	case reflect.String:
		return strconv.AppendQuote(b, v.String())
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10)
	case reflect.Float64:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	case reflect.Slice:
		b = append(b, '[')
		for i := range v.Len() {
			b = append(e.appendValue(b, v.Index(i)), ' ')
		}
		return append(b, ']')
	case reflect.Map:
		b = append(b, '{')
		m := map[string]reflect.Value{}
		for key, value := range v.Seq2() {
			m[key.String()] = value
		}
		for _, key := range slices.Sorted(maps.Keys(m)) {
			b = append(strconv.AppendQuote(b, key), ':')
			b = append(e.appendValue(b, m[key]), ' ')
		}
		return append(b, '}')
	case reflect.Struct:
		return append(e.appendFields(append(b, '{'), v), '}')
	}
	panic("encode: " + v.Type().String())
}

func (e *Encoder) appendFields(b []byte, v reflect.Value) []byte {
	for _, f := range e.fieldsOf(v.Type()) {
		switch value := v.Field(f.index); {
		case value.IsZero():
		case f.label == "":
			b = e.appendEmbedded(b, value)
		default:
			b = append(e.appendValue(append(b, f.label...), value), ' ')
		}
	}
	return b
}

// appendEmbedded appends the fields of an embedded struct. Many values that
// follow each other may share one.
func (e *Encoder) appendEmbedded(b []byte, v reflect.Value) []byte {
	if p := v.UnsafePointer(); p != e.embedded {
		e.embedded, e.text = p, e.appendFields(e.text[:0], v.Elem())
	}
	return append(b, e.text...)
}

func isEmbedded(f reflect.StructField) bool { return f.Anonymous && f.Type.Kind() == reflect.Pointer }

var errSyntax = errors.New("syntax error")

// Decode reads what Append has written into what a pointer points to, which is
// zero.
func Decode(text []byte, into any) error {
	d := decoder{string(text)}
	if err := d.value(reflect.ValueOf(into).Elem()); err != nil {
		return fmt.Errorf("%w before %.40q", err, d.rest)
	}
	if d.rest != "" {
		return fmt.Errorf("%w: %.40q is left", errSyntax, d.rest)
	}
	return nil
}

type decoder struct{ rest string }

// take takes a character, if it is next.
func (d *decoder) take(c byte) bool {
	if d.rest == "" || d.rest[0] != c {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

// word takes what is not a separator.
func (d *decoder) word() string {
	i := 0
	for i < len(d.rest) && d.rest[i] != ' ' && d.rest[i] != ':' && d.rest[i] != ']' && d.rest[i] != '}' {
		i++
	}
	word := d.rest[:i]
	d.rest = d.rest[i:]
	return word
}

// quoted takes a string.
func (d *decoder) quoted() (string, error) {
	text, err := strconv.QuotedPrefix(d.rest)
	if err != nil {
		return "", errSyntax
	}
	d.rest = d.rest[len(text):]
	return strconv.Unquote(text)
}

func (d *decoder) value(v reflect.Value) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		text, err := d.quoted()
		if err != nil {
			return err
		}
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem())
	case reflect.String:
		text, err := d.quoted()
		v.SetString(text)
		return err
	case reflect.Slice:
		return d.slice(v)
	case reflect.Map:
		return d.mapping(v)
	case reflect.Struct:
		return d.structure(v)
	}
	return setWord(v, d.word())
}

func setWord(v reflect.Value, word string) (err error) {
	switch v.Kind() {
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(word)
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(word, 10, v.Type().Bits())
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(word, 10, v.Type().Bits())
		v.SetUint(n)
	case reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(word, 64)
		v.SetFloat(f)
	default:
		err = errors.New("cannot decode " + v.Type().String())
	}
	return err
}

func (d *decoder) slice(v reflect.Value) error {
	if !d.take('[') {
		return errSyntax
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for !d.take(']') {
		one := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(one); err != nil {
			return err
		}
		v.Set(reflect.Append(v, one))
		if !d.take(' ') {
			return errSyntax
		}
	}
	return nil
}

func (d *decoder) mapping(v reflect.Value) error {
	if !d.take('{') {
		return errSyntax
	}
	v.Set(reflect.MakeMap(v.Type()))
	for !d.take('}') {
		key, err := d.quoted()
		if err != nil {
			return err
		}
		one := reflect.New(v.Type().Elem()).Elem()
		if !d.take(':') {
			return errSyntax
		}
		if err := d.value(one); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), one)
		if !d.take(' ') {
			return errSyntax
		}
	}
	return nil
}

func (d *decoder) structure(v reflect.Value) error {
	if !d.take('{') {
		return errSyntax
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); isEmbedded(f) {
			v.Field(i).Set(reflect.New(f.Type.Elem()))
		}
	}
	for !d.take('}') {
		name := d.word()
		f, known := v.Type().FieldByName(name)
		if !known || !f.IsExported() || !d.take(':') {
			return fmt.Errorf("no field %q of %v", name, v.Type())
		}
		if err := d.value(v.FieldByIndex(f.Index)); err != nil {
			return err
		}
		if !d.take(' ') {
			return errSyntax
		}
	}
	return nil
}
