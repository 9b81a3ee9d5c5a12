package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
)

// maxBody bounds a request body, in bytes: a long --select list fits.
const maxBody = 1 << 20

// errStopping is the cause of a request's context when the server stops.
var errStopping = errors.New("the daemon is stopping")

// Handler serves a Service over HTTP: the routes that doc.go lists. Server runs it on the API socket.
func Handler(svc Service, log *slog.Logger) http.Handler {
	h := &handler{svc: svc, log: log}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/version", plain(h, func(r *http.Request) (Version, error) { return svc.Version(r.Context()) }))
	mux.Handle("GET /v1/id", plain(h, func(r *http.Request) (Identity, error) { return svc.ID(r.Context()) }))
	mux.Handle("GET /v1/status", plain(h, func(r *http.Request) (Status, error) { return svc.Status(r.Context()) }))
	mux.Handle("GET /v1/peers", plain(h, func(r *http.Request) ([]Peer, error) { return svc.Peers(r.Context()) }))
	mux.Handle("GET /v1/shares", plain(h, func(r *http.Request) ([]Share, error) { return svc.List(r.Context()) }))
	mux.Handle("GET /v1/entries", plain(h, func(r *http.Request) ([]Entry, error) { return svc.Entries(r.Context(), ref(r)) }))
	mux.Handle("DELETE /v1/shares", plain(h, func(r *http.Request) (Share, error) { return svc.Remove(r.Context(), ref(r)) }))
	mux.Handle("POST /v1/share", stream(h, svc.Share))
	mux.Handle("POST /v1/get", stream(h, svc.Get))
	mux.Handle("POST /v1/verify", stream(h, svc.Verify))
	mux.Handle("POST /v1/why", stream(h, svc.Why))
	mux.HandleFunc("POST /v1/cat", h.cat)
	mux.Handle("GET /v1/limits", plain(h, func(r *http.Request) (LimitState, error) { return svc.Limits(r.Context()) }))
	mux.Handle("POST /v1/limits", object(h, svc.SetLimits))
	mux.Handle("GET /v1/peers/lists", plain(h, func(r *http.Request) (PeerLists, error) { return svc.PeerLists(r.Context()) }))
	mux.Handle("POST /v1/peers/lists", object(h, svc.SetPeerLists))
	mux.HandleFunc("GET /v1/providers", h.find)
	mux.HandleFunc("/", h.unknown)
	return mux
}

type handler struct {
	svc Service
	log *slog.Logger
}

func ref(r *http.Request) string { return r.URL.Query().Get("ref") }

// plain answers with one JSON object or array.
func plain[T any](h *handler, call func(*http.Request) (T, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := call(r)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			h.log.Debug("api answer not sent", "path", r.URL.Path, "err", err)
		}
	})
}

// object reads the request object and answers with one.
func object[Req, Res any](h *handler, call func(context.Context, Req) (Res, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := readBody(w, r, &req); err != nil {
			h.fail(w, r, err)
			return
		}
		plain(h, func(r *http.Request) (Res, error) { return call(r.Context(), req) }).ServeHTTP(w, r)
	})
}

// stream reads the request object and answers with progress events and then the result.
func stream[Req, Res any](h *handler, call func(context.Context, Req, func(Progress)) (Res, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if err := readBody(w, r, &req); err != nil {
			h.fail(w, r, err)
			return
		}
		out := h.start(w)
		defer out.close()
		res, err := call(r.Context(), req, func(p Progress) { out.send(event{Event: eventProgress, Progress: &p}) })
		h.finish(out, r, res, err)
	})
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
		if raw, err = json.Marshal(res); err == nil {
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
	if err := json.NewEncoder(w).Encode(event{Event: eventError, Error: e}); err != nil {
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

// readBody decodes the one JSON object of a request and reads it to its end: only then does net/http watch the connection,
// and cancel the request's context when the client goes away.
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return Errorf(Invalid, "the request is longer than %d bytes", tooLarge.Limit)
	case err != nil:
		return Errorf(Invalid, "read request: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return Errorf(Invalid, "read request: %w", err)
	}
	return nil
}
