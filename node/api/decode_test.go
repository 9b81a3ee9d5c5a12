package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"shoal/node/api"
)

// samples are a good request for each route that takes an object. A new route needs one.
var samples = map[string]string{
	"POST /v1/share":       `{"path":"/a/b"}`,
	"POST /v1/get":         `{"link":"l","dir":"/d"}`,
	"POST /v1/verify":      `{"ref":"r"}`,
	"POST /v1/move":        `{"from":"/a","to":"/b"}`,
	"POST /v1/why":         `{"ref":"r"}`,
	"POST /v1/cat":         `{"link":"l"}`,
	"POST /v1/limits":      `{"up":1}`,
	"POST /v1/peers/lists": `{"ban":["p"]}`,
}

// untouched is a Service that panics when it is asked anything.
type untouched struct{ api.Service }

// Every route refuses what it does not take, names what is wrong, and asks the service nothing.
func TestRoutesAreStrict(t *testing.T) {
	h := api.Handler(untouched{}, slog.New(slog.DiscardHandler))
	for _, route := range api.Routes(untouched{}) {
		t.Run(route.Method+" "+strings.ReplaceAll(route.Path[1:], "/", "."), func(t *testing.T) {
			refuse := func(query, body string, want ...string) {
				t.Helper()
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(route.Method, route.Path+query, strings.NewReader(body)))
				for _, s := range append(want, `"code":"invalid"`) {
					if w.Code != 400 || !strings.Contains(w.Body.String(), s) {
						t.Errorf("%s with body %q: status %d, %s; want 400 and %s", query, body, w.Code, w.Body, s)
					}
				}
			}
			ref := ""
			if route.Ref {
				ref = "?ref=x"
				for _, q := range []string{"", "?", "?ref", "?ref=", "?Ref=x"} {
					refuse(q, "")
				}
				refuse("?ref=x&ref=y", "", "ref")
				refuse("?ref=x%00y", "", "ref", "NUL")
				refuse("?reff=x", "", "reff", `Did you mean \"ref\"`)
			}
			if route.Fields == nil {
				refuse(ref, "{}", "no body")
			}
			refuse(ref+map[bool]string{true: "&", false: "?"}[route.Ref]+"zzzz=1", "", `zzzz`)
			refuse(ref+map[bool]string{true: "&", false: "?"}[route.Ref]+"a=%zz", "")
			if route.Fields != nil {
				refuseBodies(t, route, refuse)
			}
		})
	}
}

// refuseBodies tries every way to get an object wrong.
func refuseBodies(t *testing.T, route api.Route, refuse func(query, body string, want ...string)) {
	good := samples[route.Method+" "+route.Path]
	if good == "" {
		t.Fatalf("no sample for this route: give one in samples")
	}
	for _, body := range []string{"", " \n", "null", "[]", `"x"`, "5", "{", "{}", "{} {}", good + "x", good + good, "{\"\xff\":1}", `{"":1}`, strings.Replace(good, "}", ",}", 1)} {
		refuse("", body)
	}
	refuse("?path=/x", good, "path")
	refuse("", `{"zzzzzzzz":1}`, "zzzzzzzz", "The fields are", route.Names()[0])
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(good), &given); err != nil {
		t.Fatal(err)
	}
	for name, nullable := range route.Fields {
		with := func(key, value string) string {
			rest := map[string]json.RawMessage{}
			for k, v := range given {
				if k != name {
					rest[k] = v
				}
			}
			raw, err := json.Marshal(rest)
			if err != nil {
				t.Fatal(err)
			}
			field := `"` + key + `":` + value
			if len(rest) == 0 {
				return "{" + field + "}"
			}
			return string(raw[:len(raw)-1]) + "," + field + "}"
		}
		refuse("", with(name+"x", "1"), name+"x", `Did you mean \"`+name+`\"`)
		refuse("", with(strings.ToUpper(name), "1"), strings.ToUpper(name), `Did you mean \"`+name+`\"`)
		refuse("", with(name, `{"deep":[1]}`), `\"`+name) // of an object it names the field inside
		if !nullable {
			refuse("", with(name, "null"), `\"`+name+`\"`, "null")
		}
	}
	for name, value := range given {
		refuse("", good[:len(good)-1]+`,"`+name+`":`+string(value)+"}", `\"`+name+`\"`, "twice")
	}
}

// Wrong values name the field and what it must be.
func TestDecode(t *testing.T) {
	for _, row := range []struct{ name, body, want string }{
		{"a number for a path", `{"link":"x","dir":5}`, `the field "dir" must be a string, not a number`},
		{"a string for a flag", `{"link":"x","force":"yes"}`, `the field "force" must be true or false, not a string`},
		{"an element", `{"link":"x","select":["a",7]}`, `the field "select[1]" must be a string, not a number`},
		{"a null element", `{"link":"x","select":[null]}`, `the field "select[0]" must be a string, not null`},
		{"no list", `{"link":"x","select":"a"}`, `the field "select" must be a list, not a string`},
		{"half a pair", `{"link":"\ud83d"}`, `the field "link" is not text: it holds half a surrogate pair`},
		{"the second half", `{"link":"\udc41"}`, `the field "link" is not text: it holds half a surrogate pair`},
		{"twice by an escape", `{"link":"x","l\u0069nk":"y"}`, `the request gives the field "link" twice`},
		{"more than one", `{"link":"x"}{}`, `the request is not one JSON object: invalid character '{' after top-level value`},
		{"a list", `[]`, `the request must be an object, not a list`},
		{"not UTF-8", "{\"link\":\"\xff\"}", `the request is not UTF-8`},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := api.Decode([]byte(row.body), new(api.GetRequest))
			if err == nil || err.Error() != row.want || api.AsError(err).Code != api.Invalid {
				t.Errorf("%v; want %s", err, row.want)
			}
		})
	}
	if err := api.Decode([]byte(`{"ref":"x","timeout":1e999}`), new(api.WhyRequest)); err == nil || err.Error() != `the field "timeout" must be a number, not 1e999` {
		t.Error(err)
	}
	if err := api.Decode([]byte(`{"up":1.5}`), new(api.LimitRequest)); err == nil || err.Error() != `the field "up" must be a whole number, not 1.5` {
		t.Error(err)
	}
	var req api.GetRequest
	err := api.Decode([]byte(" {\"link\":\"\\ud83d\\ude00\",\"output\":\"/a\\udcff\\\\udcfe\",\"select\":[],\"force\":true}\n"), &req)
	if want := (api.GetRequest{Link: "😀", Output: "/a\xff\\udcfe", Select: []string{}, Force: true}); err != nil || !reflect.DeepEqual(req, want) {
		t.Errorf("%+v, %v; want %+v", req, err, want)
	}
}

// What the decoder takes, encodes to the same request again; what it refuses, it refuses with code invalid.
func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"link":"\udcff\ufdd0\ufdd0--\ud83d\ude00","dir":"/","select":["a","\\udcff"],"force":false}`))
	f.Add([]byte(`{"up":null,"down":-9223372036854775808,"auto":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v := range []any{new(api.ShareRequest), new(api.GetRequest), new(api.WhyRequest), new(api.LimitRequest), new(api.PeerListRequest)} {
			err := api.Decode(body, v)
			if err != nil {
				if e := api.AsError(err); e.Code != api.Invalid || !utf8.ValidString(e.Message) {
					t.Fatalf("%T: %+v", v, e)
				}
				continue
			}
			raw, err := api.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			again := reflect.New(reflect.TypeOf(v).Elem()).Interface()
			if err := api.Decode(raw, again); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			if more, err := api.Marshal(again); err != nil || string(more) != string(raw) {
				t.Fatalf("%s became %s, %v", raw, more, err)
			}
		}
	})
}
