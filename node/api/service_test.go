package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/node/api"
)

// service is a small but real Service: it keeps shares in memory, and its operations do what their request says.
type service struct {
	mu     sync.Mutex
	shares []api.Share
	// ended gets the cause each time a Get is cancelled.
	ended chan error
}

func newService() *service { return &service{ended: make(chan error, 8)} }

func (s *service) ID(context.Context) (api.Identity, error) {
	return api.Identity{ID: "12D3KooWTest", Addrs: []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWTest"}}, nil
}

func (s *service) Share(_ context.Context, req api.ShareRequest, progress func(api.Progress)) (api.ShareResult, error) {
	if _, err := os.Stat(req.Path); err != nil {
		return api.ShareResult{}, fmt.Errorf("share %s: %w", req.Path, err)
	}
	for n := range int64(100) {
		progress(api.Progress{State: api.StateIndexing, Bytes: n})
	}
	for n := range 100 {
		progress(api.Progress{State: api.StateIndexing, Warning: &api.Issue{Path: fmt.Sprint(n), Reason: "a device"}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shares = append(s.shares, api.Share{CID: "bafy1", Name: req.Name, Path: req.Path})
	return api.ShareResult{CID: "bafy1", Name: req.Name, Link: "ipfs://bafy1?a=1&b=<2>"}, nil
}

// Get succeeds for the link "here", runs until it is cancelled for "nowhere", and panics never.
func (s *service) Get(ctx context.Context, req api.GetRequest, progress func(api.Progress)) (api.GetResult, error) {
	switch req.Link {
	case "here":
		return api.GetResult{CID: "bafy1", Path: req.Output, From: map[string]int64{"peer": 5}}, nil
	case "nowhere":
		progress(api.Progress{State: api.StateSearching, Message: "still looking"})
		<-ctx.Done()
		s.ended <- context.Cause(ctx)
		return api.GetResult{}, fmt.Errorf("get: %w", ctx.Err())
	}
	cause := api.Errorf(api.Exists, "%s exists", req.Output).WithHint("Use --force.")
	return api.GetResult{}, fmt.Errorf("finish: %w", cause)
}

// Cat writes 3 MB for "here", 10 bytes and an error for "half", and bytes without end for "endless".
func (s *service) Cat(ctx context.Context, req api.CatRequest, w io.Writer, progress func(api.Progress)) (api.CatResult, error) {
	switch req.Link {
	case "here":
		n, err := w.Write(bytes.Repeat([]byte{7}, 3e6))
		return api.CatResult{CID: "bafy1", Bytes: int64(n), From: map[string]int64{"peer": 5}}, err
	case "half":
		if _, err := w.Write(make([]byte, 10)); err != nil {
			return api.CatResult{}, err
		}
		return api.CatResult{}, api.Errorf(api.Damaged, "it is broken").WithHint("Mend it.")
	case "endless":
		for ctx.Err() == nil {
			if progress != nil {
				progress(api.Progress{State: api.StateFetching})
			}
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				break
			}
		}
		s.ended <- context.Cause(ctx)
		return api.CatResult{}, fmt.Errorf("cat: %w", ctx.Err())
	}
	return api.CatResult{}, api.Errorf(api.NotFound, "no %s", req.Link)
}

func (s *service) List(context.Context) ([]api.Share, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]api.Share{}, s.shares...), nil
}

func (s *service) Entries(ctx context.Context, ref string) ([]api.Entry, error) {
	shares, _ := s.List(ctx)
	share, err := api.MatchShare(shares, ref)
	if err != nil {
		return nil, err
	}
	return []api.Entry{{Path: "", Kind: api.KindFile}, {Path: share.Name}}, nil
}

func (s *service) Remove(ctx context.Context, ref string) (api.Share, error) {
	shares, _ := s.List(ctx)
	return api.MatchShare(shares, ref)
}

func (s *service) Status(context.Context) (api.Status, error) {
	return api.Status{ID: "12D3KooWTest", Addrs: []string{}, Transfers: []api.Progress{}}, nil
}

func (s *service) Peers(context.Context) ([]api.Peer, error) {
	return []api.Peer{{ID: "p", Addrs: []string{"/ip4/127.0.0.1/tcp/2"}, Latency: 0.001}}, nil
}

func (s *service) Find(_ context.Context, ref string, found func(api.Provider)) error {
	if ref == "nothing" {
		return api.Errorf(api.Invalid, "no CID")
	}
	for n := range 1000 {
		found(api.Provider{ID: fmt.Sprint(n), Source: "dht"})
	}
	return nil
}

func (s *service) Why(_ context.Context, req api.WhyRequest, progress func(api.Progress)) (api.Diagnosis, error) {
	if req.Ref == "nothing" {
		return api.Diagnosis{}, api.Errorf(api.NotFound, "no share").WithHint("Name one.")
	}
	if progress != nil {
		progress(api.Progress{State: api.StateSearching})
	}
	return api.Diagnosis{
		CID: req.Ref, Cause: api.Cause{Code: api.CauseNobody, What: "nobody", Next: "wait"}, Also: []api.Cause{{Code: api.CauseNoPeers}},
		Evidence: api.Evidence{Seconds: req.Timeout, Peers: []api.Suspect{{ID: "p", Sources: []string{"dht"}, Trouble: api.CauseRefused}}},
	}, nil
}

func (s *service) Verify(_ context.Context, req api.VerifyRequest, _ func(api.Progress)) (api.VerifyResult, error) {
	return api.VerifyResult{CID: req.Ref, OK: !req.Full}, nil
}

func (s *service) Move(_ context.Context, req api.MoveRequest, _ func(api.Progress)) (api.MoveResult, error) {
	return api.MoveResult{Shares: []api.MovedShare{{From: req.From, VerifyResult: api.VerifyResult{Path: req.To, OK: true}}}}, nil
}

func (s *service) Limits(context.Context) (api.LimitState, error) {
	return api.LimitState{Up: api.Limit{Rate: 5, Source: api.LimitHand}, Schedule: []string{}}, nil
}

func (s *service) SetLimits(_ context.Context, req api.LimitRequest) (api.LimitState, error) {
	if req.Up == nil || *req.Up < 0 {
		return api.LimitState{}, api.Errorf(api.Invalid, "no rate")
	}
	return api.LimitState{Up: api.Limit{Rate: *req.Up, Source: api.LimitHand}, Schedule: []string{}}, nil
}

func (s *service) PeerLists(context.Context) (api.PeerLists, error) {
	return api.PeerLists{Allow: []string{"a"}, Ban: []string{}}, nil
}

func (s *service) SetPeerLists(_ context.Context, req api.PeerListRequest) (api.PeerLists, error) {
	if len(req.Forget) > 0 {
		return api.PeerLists{}, api.Errorf(api.Invalid, "no peer")
	}
	return api.PeerLists{Allow: req.Allow, Ban: req.Ban}, nil
}

func (s *service) Version(context.Context) (api.Version, error) {
	return api.Version{Version: "test"}, nil
}

// serve runs a server for home until the test ends or stop is called, which waits for it.
func serve(t *testing.T, home string, svc api.Service) (client *api.Client, stop func()) {
	t.Helper()
	srv, err := api.Listen(api.ServerConfig{Home: home, Service: svc})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := srv.Close(); err != nil {
			t.Errorf("Close after Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return api.NewClient(home), stop
}

// TestSame calls every method directly and over the socket and expects the same.
func TestSame(t *testing.T) {
	svc := newService()
	client, _ := serve(t, t.TempDir(), svc)
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		value any
		err   string
		code  api.Code
		hint  string
	}
	result := func(v any, err error) answer {
		a := answer{value: v}
		if e := api.AsError(err); e != nil {
			a = answer{err: e.Message, code: e.Code, hint: e.Hint}
		}
		return a
	}
	silent := func(api.Progress) {}
	rows := []struct {
		name string
		call func(api.Service) answer
	}{
		{"id", func(s api.Service) answer { v, err := s.ID(ctx); return result(v, err) }},
		{"share", func(s api.Service) answer {
			v, err := s.Share(ctx, api.ShareRequest{Path: file, Name: "ü ?&"}, silent)
			return result(v, err)
		}},
		{"share missing", func(s api.Service) answer {
			v, err := s.Share(ctx, api.ShareRequest{Path: file + "x"}, silent)
			return result(v, err)
		}},
		{"get", func(s api.Service) answer {
			v, err := s.Get(ctx, api.GetRequest{Link: "here", Output: "/o"}, nil)
			return result(v, err)
		}},
		{"get exists", func(s api.Service) answer {
			v, err := s.Get(ctx, api.GetRequest{Link: "there", Output: "/o"}, nil)
			return result(v, err)
		}},
		{"cat", func(s api.Service) answer {
			var b bytes.Buffer
			v, err := s.Cat(ctx, api.CatRequest{Link: "here"}, &b, nil)
			return result(fmt.Sprint(v, b.Len(), bytes.Count(b.Bytes(), []byte{7})), err)
		}},
		{"cat half", func(s api.Service) answer {
			var b bytes.Buffer
			_, err := s.Cat(ctx, api.CatRequest{Link: "half"}, &b, nil)
			return result(b.Len(), err)
		}},
		{"cat nothing", func(s api.Service) answer {
			v, err := s.Cat(ctx, api.CatRequest{Link: "none"}, io.Discard, nil)
			return result(v, err)
		}},
		{"entries", func(s api.Service) answer { v, err := s.Entries(ctx, file); return result(v, err) }},
		{"entries missing", func(s api.Service) answer { v, err := s.Entries(ctx, "a&b=c"); return result(v, err) }},
		{"remove", func(s api.Service) answer { v, err := s.Remove(ctx, "bafy1"); return result(v, err) }},
		{"status", func(s api.Service) answer { v, err := s.Status(ctx); return result(v, err) }},
		{"peers", func(s api.Service) answer { v, err := s.Peers(ctx); return result(v, err) }},
		{"limits", func(s api.Service) answer { v, err := s.Limits(ctx); return result(v, err) }},
		{"set limits", func(s api.Service) answer {
			v, err := s.SetLimits(ctx, api.LimitRequest{Up: new(int64)})
			return result(v, err)
		}},
		{"set no limits", func(s api.Service) answer {
			v, err := s.SetLimits(ctx, api.LimitRequest{Auto: true})
			return result(v, err)
		}},
		{"peer lists", func(s api.Service) answer { v, err := s.PeerLists(ctx); return result(v, err) }},
		{"set peer lists", func(s api.Service) answer {
			v, err := s.SetPeerLists(ctx, api.PeerListRequest{Allow: []string{"a", "b"}, Ban: []string{"c"}})
			return result(v, err)
		}},
		{"set no peer lists", func(s api.Service) answer {
			v, err := s.SetPeerLists(ctx, api.PeerListRequest{Forget: []string{"a"}})
			return result(v, err)
		}},
		{"find nothing", func(s api.Service) answer { return result(nil, s.Find(ctx, "nothing", nil)) }},
		{"why", func(s api.Service) answer {
			v, err := s.Why(ctx, api.WhyRequest{Ref: "a", Timeout: 2.5}, silent)
			return result(v, err)
		}},
		{"why nothing", func(s api.Service) answer {
			v, err := s.Why(ctx, api.WhyRequest{Ref: "nothing"}, nil)
			return result(v, err)
		}},
		{"verify", func(s api.Service) answer {
			v, err := s.Verify(ctx, api.VerifyRequest{Ref: "a", Full: true}, nil)
			return result(v, err)
		}},
		{"version", func(s api.Service) answer { v, err := s.Version(ctx); return result(v, err) }},
		{"list", func(s api.Service) answer { v, err := s.List(ctx); return result(v, err) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			want, got := row.call(svc), row.call(client)
			if row.name == "list" { // the two shares of "share" above
				want = row.call(svc)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("over the socket %+v\ndirectly %+v", got, want)
			}
		})
	}
}

// TestWarningsArrive checks that plain progress may be merged, warnings and providers not.
func TestWarningsArrive(t *testing.T) {
	client, _ := serve(t, t.TempDir(), newService())
	var warnings, plain int
	_, err := client.Share(t.Context(), api.ShareRequest{Path: t.TempDir()}, func(p api.Progress) {
		if p.Warning != nil {
			warnings++
		} else {
			plain++
		}
	})
	if err != nil || warnings != 100 || plain == 0 {
		t.Errorf("%d warnings, %d reports, %v; want 100, some, nil", warnings, plain, err)
	}
	var found int
	if err := client.Find(t.Context(), "bafy", func(api.Provider) { found++ }); err != nil || found != 1000 {
		t.Errorf("found %d, %v; want 1000, nil", found, err)
	}
}

// TestDisconnectCancels checks that a client that goes away cancels its request in the daemon.
func TestDisconnectCancels(t *testing.T) {
	svc := newService()
	client, _ := serve(t, t.TempDir(), svc)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := client.Get(ctx, api.GetRequest{Link: "nowhere", Dir: "/d"}, func(p api.Progress) { cancel() })
	if !errors.Is(err, context.Canceled) || api.AsError(err).Code != api.Canceled {
		t.Errorf("client: %v; want context canceled", err)
	}
	if cause := <-svc.ended; !errors.Is(cause, context.Canceled) {
		t.Errorf("daemon: %v; want context canceled", cause)
	}
}

// A writer that fails ends the operation in the daemon, and its error is the call's.
func TestCatWriterFails(t *testing.T) {
	svc := newService()
	client, _ := serve(t, t.TempDir(), svc)
	full := errors.New("full")
	_, err := client.Cat(t.Context(), api.CatRequest{Link: "endless"}, &limited{5 << 20, full}, func(api.Progress) {})
	if !errors.Is(err, full) {
		t.Errorf("client: %v; want the writer's error", err)
	}
	<-svc.ended
}

// limited takes so many bytes, then gives an error.
type limited struct {
	n   int
	err error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.n -= len(p); l.n < 0 {
		return 0, l.err
	}
	return len(p), nil
}

// A daemon that stops under a reader, even one that stands still, says so.
func TestCatStop(t *testing.T) {
	client, stop := serve(t, t.TempDir(), newService())
	r, w := io.Pipe()
	got := make(chan error, 1)
	go func() {
		_, err := client.Cat(context.Background(), api.CatRequest{Link: "endless"}, w, nil)
		w.Close()
		got <- err
	}()
	if _, err := io.ReadFull(r, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
	if err := <-got; api.AsError(err).Code != api.Stopped {
		t.Errorf("%v; want code stopped", err)
	}
}

func TestDeadline(t *testing.T) {
	client, _ := serve(t, t.TempDir(), newService())
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, err := client.Get(ctx, api.GetRequest{Link: "nowhere", Dir: "/d"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || api.AsError(err).Code != api.Timeout {
		t.Errorf("%v; want deadline exceeded", err)
	}
}

// TestStop checks that stopping the server ends a running request with an error that says so, and removes the socket.
func TestStop(t *testing.T) {
	home := t.TempDir()
	client, stop := serve(t, home, newService())
	started := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		_, err := client.Get(context.Background(), api.GetRequest{Link: "nowhere", Dir: "/d"}, func(api.Progress) { close(started) })
		got <- err
	}()
	<-started
	stop()
	if err := <-got; api.AsError(err).Code != api.Stopped {
		t.Errorf("%v; want code stopped", err)
	}
	if _, err := os.Lstat(api.SocketPath(home)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := client.Version(t.Context()); api.AsError(err).Code != api.NoDaemon {
		t.Errorf("%v; want code no_daemon", err)
	}
}

// TestHomes serves in homes whose socket paths are in various ways difficult.
func TestHomes(t *testing.T) {
	for _, row := range []struct {
		name string
		dir  string
	}{
		{"short", "h"},
		{"blanks", "a home with blanks"},
		{"too long for a socket", strings.Repeat("long", 30) + "/" + strings.Repeat("home", 30)},
		{"at the limit", strings.Repeat("x", 92)},
	} {
		t.Run(row.name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), filepath.FromSlash(row.dir))
			if err := os.MkdirAll(home, 0o755); err != nil {
				t.Fatal(err)
			}
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			client, _ := serve(t, home, newService())
			if _, err := client.Version(t.Context()); err != nil {
				t.Fatal(err)
			}
			left, err := os.ReadDir(home)
			if err != nil || len(left) != 1 {
				t.Errorf("home holds %v, %v; want the socket alone", left, err)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
				t.Errorf("temp dir holds %v, %v; want nothing", left, err)
			}
			if fi, err := os.Stat(api.SocketPath(home)); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
				t.Errorf("socket mode %v, %v; want 0600", fi.Mode(), err)
			}
		})
	}
}

// TestStaleSocket leaves a socket as a crashed daemon does.
func TestStaleSocket(t *testing.T) {
	home := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: api.SocketPath(home), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := api.NewClient(home).Version(t.Context()); api.AsError(err).Code != api.NoDaemon {
		t.Errorf("client with a stale socket: %v; want code no_daemon", err)
	}
	client, _ := serve(t, home, newService())
	if _, err := client.Version(t.Context()); err != nil {
		t.Errorf("after a daemon replaced it: %v", err)
	}
	if _, err := api.Listen(api.ServerConfig{Home: home, Service: newService()}); api.AsError(err).Code != api.Locked {
		t.Errorf("second daemon: %v; want code locked", err)
	}
	if _, err := client.Version(t.Context()); err != nil {
		t.Errorf("after a second daemon tried: %v", err)
	}
}
