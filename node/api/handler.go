package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"reflect"
)

// maxBody bounds a request body, in bytes: a long --select list fits.
const maxBody = 1 << 20

// errStopping is the cause of a request's context when the server stops.
var errStopping = errors.New("the daemon is stopping")

// Handler serves a Service over HTTP: the routes that doc.go lists. Server runs it on the API socket.
func Handler(svc Service, log *slog.Logger) http.Handler {
	h := &handler{svc: svc, log: log}
	mux := http.NewServeMux()
	for _, rt := range h.routes() {
		mux.Handle(rt.method+" "+rt.path, h.guard(rt))
	}
	mux.HandleFunc("/", h.unknown)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; p != path.Clean(p) && p != path.Clean(p)+"/" { // the mux answers it with a redirect, in HTML
			h.fail(w, r, Errorf(NotFound, "there is no request %s %s", r.Method, p))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type handler struct {
	svc Service
	log *slog.Logger
}

// route is one request that a Service can be asked.
type route struct {
	method, path string
	taker
}

// taker says what a request takes, and answers it. What it does not take is refused.
type taker struct {
	body  request // the zero value of its object; nil: no body
	ref   bool    // needs the query parameter ref
	serve http.HandlerFunc
}

func (h *handler) routes() []route {
	svc := h.svc
	return []route{
		{"GET", "/v1/version", plain(h, svc.Version)},
		{"GET", "/v1/id", plain(h, svc.ID)},
		{"GET", "/v1/status", plain(h, svc.Status)},
		{"GET", "/v1/peers", plain(h, svc.Peers)},
		{"GET", "/v1/shares", plain(h, svc.List)},
		{"GET", "/v1/entries", byRef(h, svc.Entries)},
		{"DELETE", "/v1/shares", byRef(h, svc.Remove)},
		{"POST", "/v1/share", stream(h, svc.Share)},
		{"POST", "/v1/get", stream(h, svc.Get)},
		{"POST", "/v1/verify", stream(h, svc.Verify)},
		{"POST", "/v1/move", stream(h, svc.Move)},
		{"POST", "/v1/why", stream(h, svc.Why)},
		{"POST", "/v1/cat", taker{body: CatRequest{}, serve: h.cat}},
		{"GET", "/v1/limits", plain(h, svc.Limits)},
		{"POST", "/v1/limits", object(h, svc.SetLimits)},
		{"GET", "/v1/peers/lists", plain(h, svc.PeerLists)},
		{"POST", "/v1/peers/lists", object(h, svc.SetPeerLists)},
		{"GET", "/v1/providers", taker{ref: true, serve: h.find}},
	}
}

// guard refuses a body or query that the route does not take.
func (h *handler) guard(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkQuery(r.URL.RawQuery, rt.ref)
		if err == nil && rt.body == nil && r.ContentLength != 0 {
			err = Errorf(Invalid, "the request %s %s takes no body", rt.method, rt.path)
		}
		if err != nil {
			h.fail(w, r, err)
			return
		}
		rt.serve(w, r)
	})
}

// checkQuery reads the query as strictly as decode reads a body.
func checkQuery(raw string, ref bool) error {
	known := map[string]bool{}
	if ref {
		known["ref"] = true
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return Errorf(Invalid, "read the parameters of the request: %w", err)
	}
	for name, given := range values {
		switch {
		case !known[name]:
			return unknownField(name, "parameter", name, known)
		case len(given) > 1:
			return Errorf(Invalid, "the request gives the parameter %q %d times", name, len(given))
		}
	}
	switch {
	case !ref:
		return nil
	case values.Get("ref") == "":
		return Errorf(Invalid, "the parameter %q is missing or empty", "ref")
	}
	return CheckRef(values.Get("ref"))
}

func ref(r *http.Request) string { return r.URL.Query().Get("ref") }

// plain answers with one JSON object or array.
func plain[T any](h *handler, call func(context.Context) (T, error)) taker {
	return taker{serve: func(w http.ResponseWriter, r *http.Request) {
		v, err := call(r.Context())
		answer(h, w, r, v, err)
	}}
}

// byRef is plain about the share that the query names.
func byRef[T any](h *handler, call func(context.Context, string) (T, error)) taker {
	return taker{ref: true, serve: func(w http.ResponseWriter, r *http.Request) {
		v, err := call(r.Context(), ref(r))
		answer(h, w, r, v, err)
	}}
}

// object reads the request object and answers with one.
func object[Req request, Res any](h *handler, call func(context.Context, Req) (Res, error)) taker {
	return taker{body: *new(Req), serve: func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := readBody(w, r, &req); err != nil {
			h.fail(w, r, err)
			return
		}
		v, err := call(r.Context(), req)
		answer(h, w, r, v, err)
	}}
}

// answer answers with one JSON value, or with an error.
func answer(h *handler, w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		h.fail(w, r, err)
		return
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
		err = writeList(w, list)
	} else {
		err = writeLine(w, v)
	}
	if err != nil {
		h.log.Debug("api answer not sent", "path", r.URL.Path, "err", err)
	}
}

// writeLine writes a line with v.
func writeLine(w http.ResponseWriter, v any) error {
	raw, err := Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(append(raw, '\n'))
	return err
}

// writeList writes an array with one element a line, so that whoever reads it can begin before it is whole.
func writeList(w http.ResponseWriter, list reflect.Value) error {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, listBuffer)
	out.WriteString(listBegin)
	for i := range list.Len() {
		raw, err := Marshal(list.Index(i).Interface())
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteString(listNext)
		}
		out.Write(raw)
	}
	out.WriteString(listEnd)
	return out.Flush()
}

// stream reads the request object and answers with progress events and then the result.
func stream[Req request, Res any](h *handler, call func(context.Context, Req, func(Progress)) (Res, error)) taker {
	return taker{body: *new(Req), serve: func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := readBody(w, r, &req); err != nil {
			h.fail(w, r, err)
			return
		}
		out := h.start(w)
		defer out.close()
		res, err := call(r.Context(), req, func(p Progress) { out.send(event{Event: eventProgress, Progress: &p}) })
		h.finish(out, r, res, err)
	}}
}

// find streams providers; it has no body and no result.
func (h *handler) find(w http.ResponseWriter, r *http.Request) {
	out := h.start(w)
	defer out.close()
	err := h.svc.Find(r.Context(), ref(r), func(p Provider) { out.send(event{Event: eventProvider, Provider: &p}) })
	h.finish(out, r, struct{}{}, err)
}

// start sends the head of a streamed answer at once, so that the client knows that its request is taken.
func (h *handler) start(w http.ResponseWriter) *streamWriter {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	flush := func() {
		if err := rc.Flush(); err != nil {
			h.log.Debug("api answer not sent", "err", err)
		}
	}
	flush()
	return newStreamWriter(w, flush)
}

// finish ends a streamed answer with the result or the error.
func (h *handler) finish(out interface{ send(event) }, r *http.Request, res any, err error) {
	if err == nil {
		var raw []byte
		if raw, err = Marshal(res); err == nil {
			out.send(event{Event: eventDone, Result: raw})
			return
		}
	}
	out.send(event{Event: eventError, Error: h.describe(r, err)})
}

// fail answers a request that has not begun to stream.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := h.describe(r, err)
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	raw, err := Marshal(event{Event: eventError, Error: e})
	if err == nil {
		_, err = w.Write(append(raw, '\n'))
	}
	if err != nil {
		h.log.Debug("api answer not sent", "path", r.URL.Path, "err", err)
	}
}

// describe turns an error into what the client sees, and logs those that point to a bug.
func (h *handler) describe(r *http.Request, err error) *Error {
	e := AsError(err)
	if e.Code == Canceled && errors.Is(context.Cause(r.Context()), errStopping) {
		return Errorf(Stopped, "the daemon stopped").WithHint("Start it again; a fetch goes on where it stopped.")
	}
	if e.Code == Internal {
		h.log.Error("api request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	return e
}

func (h *handler) unknown(w http.ResponseWriter, r *http.Request) {
	h.fail(w, r, Errorf(Unsupported, "this daemon does not know the request %s %s", r.Method, r.URL.Path).
		WithHint("The daemon and the program that asks are of different versions; `shoal version` shows both."))
}

// readBody decodes the one JSON object of a request and checks it. It reads the body to its end: only then does net/http watch the
// connection, and cancel the request's context when the client goes away.
func readBody[Req request](w http.ResponseWriter, r *http.Request, req *Req) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return Errorf(Invalid, "the request is longer than %d bytes", tooLarge.Limit)
	case err != nil:
		return Errorf(Invalid, "read request: %w", err)
	}
	if err := decode(body, req); err != nil {
		return err
	}
	return (*req).Check()
}
