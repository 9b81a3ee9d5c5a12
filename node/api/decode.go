package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// decode reads the one JSON object of a request into v, a pointer to a struct. It is strict: a field that is unknown, given
// twice, null or of another type, and anything but one object, is refused, because a request that is half understood does
// something else than was meant. Whether a field that is missing was needed says Check of the request. Code: invalid.
func decode(body []byte, v any) error {
	to := reflect.ValueOf(v).Elem()
	if len(bytes.TrimSpace(body)) == 0 {
		return Errorf(Invalid, "the request has no body").WithHint("Send a JSON object with the fields %s.", listed(fieldsOf(to.Type())))
	}
	if !utf8.Valid(body) {
		return Errorf(Invalid, "the request is not UTF-8").WithHint(`A byte of a path that is not UTF-8 is written as \udc80 to \udcff, 0xff as \udcff.`)
	}
	if err := json.Unmarshal(body, new(json.RawMessage)); err != nil {
		return Errorf(Invalid, "the request is not one JSON object: %w", err)
	}
	return decodeObject("", bytes.TrimSpace(body), to)
}

// decodeObject reads valid JSON into a struct. within is the path of fields that leads to it, with a dot at its end.
func decodeObject(within string, raw []byte, to reflect.Value) error {
	if raw[0] != '{' {
		return wrongType(strings.TrimSuffix(within, "."), "an object", raw)
	}
	fields := fieldsOf(to.Type())
	given := make(map[string]bool)
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return Errorf(Invalid, "read request: %w", err)
	}
	for dec.More() {
		var value json.RawMessage
		key, err := dec.Token()
		if err == nil {
			err = dec.Decode(&value)
		}
		if err != nil {
			return Errorf(Invalid, "read request: %w", err)
		}
		name := key.(string)
		index, known := fields[name]
		switch {
		case !known:
			return unknownField(within+name, "field", name, fields)
		case given[name]:
			return Errorf(Invalid, "the request gives the field %q twice", within+name)
		}
		given[name] = true
		if err := decodeValue(within+name, value, to.FieldByIndex(index)); err != nil {
			return err
		}
	}
	return nil
}

// decodeValue reads valid JSON into a field.
func decodeValue(name string, raw []byte, to reflect.Value) error {
	if _, own := to.Addr().Interface().(json.Unmarshaler); own {
		if err := json.Unmarshal(raw, to.Addr().Interface()); err != nil {
			return Errorf(Invalid, "the field %q: %w", name, err)
		}
		return nil
	}
	switch to.Kind() {
	case reflect.Pointer: // null is a value of its own there
		if string(raw) == "null" {
			return nil
		}
		to.Set(reflect.New(to.Type().Elem()))
		return decodeValue(name, raw, to.Elem())
	case reflect.Struct:
		return decodeObject(name+".", raw, to)
	case reflect.Slice:
		return decodeList(name, raw, to)
	}
	if string(raw) == "null" || Unmarshal(raw, to.Addr().Interface()) != nil {
		return wrongType(name, kindWords[to.Kind()], raw)
	}
	if _, broken := hideEscapes(raw); to.Kind() == reflect.String && broken {
		return Errorf(Invalid, "the field %q is not text: it holds half a surrogate pair", name)
	}
	return nil
}

func decodeList(name string, raw []byte, to reflect.Value) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		return wrongType(name, "a list", raw)
	}
	to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
	for i, value := range list {
		if err := decodeValue(fmt.Sprintf("%s[%d]", name, i), value, to.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf are the fields of a request by their name in JSON.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := make(map[string][]int)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields[name] = f.Index
	}
	return fields
}

var kindWords = map[reflect.Kind]string{
	reflect.String: "a string", reflect.Bool: "true or false", reflect.Float64: "a number",
	reflect.Int: "a whole number", reflect.Int64: "a whole number", reflect.Map: "an object",
}

func wrongType(name, want string, raw []byte) error {
	got := "a number"
	switch raw[0] {
	case '{':
		got = "an object"
	case '[':
		got = "a list"
	case '"':
		got = "a string"
	case 't', 'f', 'n':
		got = string(raw)
	default:
		if strings.HasSuffix(want, "number") { // of another kind, or out of range
			got = shorten(string(raw))
		}
	}
	if name == "" {
		return Errorf(Invalid, "the request must be %s, not %s", want, got)
	}
	return Errorf(Invalid, "the field %q must be %s, not %s", name, want, got)
}

// unknownField refuses a field or parameter, and names those that there are.
func unknownField[T any](full, what, name string, known map[string]T) error {
	err := Errorf(Invalid, "the request has no %s %q", what, shorten(full))
	if near := Nearest(strings.ToLower(name), slices.Collect(maps.Keys(known))); near != "" {
		return err.WithHint("Did you mean %q? The %ss are %s.", near, what, listed(known))
	}
	if len(known) == 0 {
		return err.WithHint("It takes none.")
	}
	return err.WithHint("The %ss are %s.", what, listed(known))
}

// shorten keeps what a stranger wrote from filling a message.
func shorten(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

func listed[T any](known map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}
