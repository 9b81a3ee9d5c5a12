package node

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"shoal/node/api"
)

// A share whose path is missing, misspelt or relative shares nothing, least of all the directory that the daemon works in;
// nor is anything done for other requests that are not wholly understood.
func TestHalfUnderstoodRequests(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	randomFile(t, dir, "private", 10)
	n, _ := startNode(t, t.TempDir())
	h := api.Handler(n, slog.New(slog.DiscardHandler))
	for _, row := range []struct{ path, body string }{
		{"/v1/share", `{}`},
		{"/v1/share", `{"pth":"` + dir + `"}`},
		{"/v1/share", `{"Path":"` + dir + `"}`},
		{"/v1/share", `{"path":""}`},
		{"/v1/share", `{"path":"."}`},
		{"/v1/share", `{"path":"private"}`},
		{"/v1/share", `{"path":"` + dir + `","nohidden":true}`},
		{"/v1/share", `{"path":"` + dir + `"}{}`},
		{"/v1/get", `{"link":"bafkreiemqpndzewx4bioklzfvhtiegsfny5fxuc3nkjk2vmcpjxiammsti","dir":"` + dir + `","Force":true}`},
		{"/v1/verify", `{"name":"x"}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", row.path, strings.NewReader(row.body)))
		if w.Code != 400 {
			t.Errorf("POST %s %s: %d %s; want 400", row.path, row.body, w.Code, w.Body)
		}
	}
	requests := map[string]func() error{
		"share nothing":  func() error { _, err := n.Share(t.Context(), api.ShareRequest{}, nil); return err },
		"share relative": func() error { _, err := n.Share(t.Context(), api.ShareRequest{Path: "private"}, nil); return err },
		"cat nothing":    func() error { _, err := n.Cat(t.Context(), api.CatRequest{}, io.Discard, nil); return err },
		"verify nothing": func() error { _, err := n.Verify(t.Context(), api.VerifyRequest{}, nil); return err },
		"move nothing": func() error {
			_, err := n.Move(t.Context(), api.MoveRequest{From: dir, To: dir + "\x00"}, nil)
			return err
		},
		"why nothing":    func() error { _, err := n.Why(t.Context(), api.WhyRequest{}, nil); return err },
		"find nothing":   func() error { return n.Find(t.Context(), "", nil) },
		"list nothing":   func() error { _, err := n.Entries(t.Context(), ""); return err },
		"remove nothing": func() error { _, err := n.Remove(t.Context(), ""); return err },
		"limit nothing":  func() error { _, err := n.SetLimits(t.Context(), api.LimitRequest{}); return err },
		"ban nobody":     func() error { _, err := n.SetPeerLists(t.Context(), api.PeerListRequest{}); return err },
	}
	if runtime.GOOS != "windows" {
		requests["share a device"] = func() error { _, err := n.Share(t.Context(), api.ShareRequest{Path: "/dev/stdin"}, nil); return err }
	}
	for name, ask := range requests {
		if err := ask(); api.AsError(err) == nil || api.AsError(err).Code != api.Invalid {
			t.Errorf("%s: %v; want code invalid", name, err)
		}
	}
	if shares, err := n.List(t.Context()); err != nil || len(shares) != 0 {
		t.Errorf("shares %+v, %v; want none", shares, err)
	}
}
