package api_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"shoal/node/api"
)

// TestRequests sends raw requests, as another program might.
func TestRequests(t *testing.T) {
	h := api.Handler(newService(), slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		name, method, path, body string
		status                   int
		want                     string // part of the answer
	}{
		{"id", "GET", "/v1/id", "", 200, `{"id":"12D3KooWTest","addrs":["/ip4`},
		{"stream", "POST", "/v1/get", `{"link":"here","dir":"/d"}`, 200, `{"event":"done","result":{"cid":"bafy1"`},
		{"unknown field", "POST", "/v1/get", `{"link":"here","dir":"/d","later":{"x":1}}`, 400, `has no field \"later\"`},
		{"misspelt field", "POST", "/v1/share", `{"pth":"/tmp"}`, 400, `Did you mean \"path\"?`},
		{"error in a stream", "POST", "/v1/get", `{"link":"there","dir":"/d"}`, 200, `{"event":"error","error":{"code":"exists"`},
		{"not JSON", "POST", "/v1/get", `link=here`, 400, `"code":"invalid"`},
		{"empty body", "POST", "/v1/share", ``, 400, `"code":"invalid"`},
		{"wrong type", "POST", "/v1/share", `{"path":5}`, 400, `"code":"invalid"`},
		{"too long", "POST", "/v1/get", `{"link":"` + strings.Repeat("x", 1<<20) + `"}`, 400, `longer than`},
		{"nothing of that name", "GET", "/v1/entries?ref=x", "", 404, `"code":"not_found"`},
		{"ref missing", "DELETE", "/v1/shares", "", 400, `"code":"invalid"`},
		{"unknown route", "GET", "/v1/weather", "", 422, `"code":"unsupported"`},
		{"a path with dots", "GET", "/v1/../x", "", 404, `"code":"not_found"`},
		{"a path with two slashes", "GET", "//v1/id", "", 404, `"code":"not_found"`},
		{"unknown version", "GET", "/v2/id", "", 422, `versions`},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(row.method, row.path, strings.NewReader(row.body)))
			body, err := io.ReadAll(w.Result().Body)
			if err != nil || w.Code != row.status || !strings.Contains(string(body), row.want) {
				t.Errorf("status %d, body %s, %v; want %d and %s", w.Code, body, err, row.status, row.want)
			}
		})
	}
}

// TestForeignServer lets the client meet answers that are not ours.
func TestForeignServer(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		code   api.Code
	}{
		{"an HTML error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, api.Internal},
		{"a cut stream", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"event":"progress"`) }, api.Stopped},
		{"an error without content", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{\"event\":\"error\"}\n") }, api.Internal},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, api.Stopped},
		{"an unknown code", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "{\"event\":\"error\",\"error\":{\"code\":\"moon\",\"message\":\"m\"}}\n")
		}, "moon"},
		{"unknown events first", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "{\"event\":\"x\"}\n\n{\"event\":\"done\",\"result\":{},\"more\":1}\n")
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			client := foreign(t, row.answer)
			_, err := client.Get(t.Context(), api.GetRequest{Link: "x", Dir: "/d"}, nil)
			got := api.Code("")
			if e := api.AsError(err); e != nil {
				got = e.Code
			}
			if got != row.code {
				t.Errorf("%v (code %q); want code %q", err, got, row.code)
			}
		})
	}
}

// foreign serves any handler on the socket of a new home.
func foreign(t *testing.T, h http.Handler) *api.Client {
	t.Helper()
	home := t.TempDir()
	l, err := listenUnix(home)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return api.NewClient(home)
}
