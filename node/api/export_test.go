package api

import (
	"log/slog"
	"maps"
	"reflect"
	"slices"
)

// Route is a request that the handler knows: the fields of its body by JSON name with whether null is a value, nil without a body.
type Route struct {
	Method, Path string
	Fields       map[string]bool
	Ref          bool
}

// Routes lists the table that Handler serves.
func Routes(svc Service) []Route {
	var out []Route
	for _, rt := range (&handler{svc: svc, log: slog.New(slog.DiscardHandler)}).routes() {
		r := Route{Method: rt.method, Path: rt.path, Ref: rt.ref}
		if rt.body != nil {
			r.Fields = map[string]bool{}
			t := reflect.TypeOf(rt.body)
			for name, index := range fieldsOf(t) {
				r.Fields[name] = t.FieldByIndex(index).Type.Kind() == reflect.Pointer
			}
		}
		out = append(out, r)
	}
	return out
}

// Names are the fields of a route in order.
func (r Route) Names() []string { return slices.Sorted(maps.Keys(r.Fields)) }

// Decode is decode for tests.
func Decode(body []byte, v any) error { return decode(body, v) }
