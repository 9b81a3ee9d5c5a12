package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxAnswer bounds an answer that is not a stream: the entries of a tree of some million files.
const maxAnswer = 1 << 30

// Client talks to the daemon of a home. It is safe for concurrent use, keeps no connection open between calls, and needs
// no closing. Every method gives NoDaemon when none runs; starting one later makes the same Client work.
type Client struct {
	home string
	http *http.Client
}

// NewClient makes a client for the daemon of a home directory (an absolute path). It does no I/O.
func NewClient(home string) *Client {
	return &Client{home: home, http: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, home) },
	}}}
}

var _ Service = (*Client)(nil)

// ID implements Service.
func (c *Client) ID(ctx context.Context) (Identity, error) {
	return ask[Identity](ctx, c, "GET", "/v1/id")
}

// Share implements Service.
func (c *Client) Share(ctx context.Context, req ShareRequest, progress func(Progress)) (ShareResult, error) {
	return run[ShareResult](ctx, c, "/v1/share", req, progress)
}

// Get implements Service.
func (c *Client) Get(ctx context.Context, req GetRequest, progress func(Progress)) (GetResult, error) {
	return run[GetResult](ctx, c, "/v1/get", req, progress)
}

// Cat implements Service.
func (c *Client) Cat(ctx context.Context, req CatRequest, w io.Writer, progress func(Progress)) (CatResult, error) {
	var res CatResult
	body, err := c.do(ctx, "POST", "/v1/cat", req)
	if err != nil {
		return res, err
	}
	defer body.Close()
	raw, err := readFrames(body, w, func(e event) {
		if e.Progress != nil && progress != nil {
			progress(*e.Progress)
		}
	})
	var refused writeError
	if errors.As(err, &refused) {
		return res, fmt.Errorf("write %s: %w", req.Link, refused.err)
	}
	if err == nil {
		err = Unmarshal(raw, &res)
	}
	return res, own(ctx, err)
}

// List implements Service.
func (c *Client) List(ctx context.Context) ([]Share, error) {
	return askAll[Share](ctx, c, "/v1/shares")
}

// Entries implements Service.
func (c *Client) Entries(ctx context.Context, ref string) ([]Entry, error) {
	if err := CheckRef(ref); err != nil {
		return nil, err
	}
	return askAll[Entry](ctx, c, "/v1/entries?ref="+url.QueryEscape(ref))
}

// Remove implements Service.
func (c *Client) Remove(ctx context.Context, ref string) (Share, error) {
	return about[Share](ctx, c, "DELETE", "/v1/shares", ref)
}

// Status implements Service.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, "GET", "/v1/status")
}

// Peers implements Service.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	return askAll[Peer](ctx, c, "/v1/peers")
}

// Find implements Service.
func (c *Client) Find(ctx context.Context, ref string, found func(Provider)) error {
	if err := CheckRef(ref); err != nil {
		return err
	}
	body, err := c.do(ctx, "GET", "/v1/providers?ref="+url.QueryEscape(ref), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = readStream(body, func(e event) {
		if e.Provider != nil && found != nil {
			found(*e.Provider)
		}
	})
	return own(ctx, err)
}

// Why implements Service.
func (c *Client) Why(ctx context.Context, req WhyRequest, progress func(Progress)) (Diagnosis, error) {
	return run[Diagnosis](ctx, c, "/v1/why", req, progress)
}

// Verify implements Service.
func (c *Client) Verify(ctx context.Context, req VerifyRequest, progress func(Progress)) (VerifyResult, error) {
	return run[VerifyResult](ctx, c, "/v1/verify", req, progress)
}

// Move implements Service.
func (c *Client) Move(ctx context.Context, req MoveRequest, progress func(Progress)) (MoveResult, error) {
	return run[MoveResult](ctx, c, "/v1/move", req, progress)
}

// Limits implements Service.
func (c *Client) Limits(ctx context.Context) (LimitState, error) {
	return ask[LimitState](ctx, c, "GET", "/v1/limits")
}

// SetLimits implements Service.
func (c *Client) SetLimits(ctx context.Context, req LimitRequest) (LimitState, error) {
	return send[LimitState](ctx, c, "POST", "/v1/limits", req)
}

// PeerLists implements Service.
func (c *Client) PeerLists(ctx context.Context) (PeerLists, error) {
	return ask[PeerLists](ctx, c, "GET", "/v1/peers/lists")
}

// SetPeerLists implements Service.
func (c *Client) SetPeerLists(ctx context.Context, req PeerListRequest) (PeerLists, error) {
	return send[PeerLists](ctx, c, "POST", "/v1/peers/lists", req)
}

// Version implements Service. It is the cheapest way to see whether a daemon runs.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return ask[Version](ctx, c, "GET", "/v1/version")
}

// ask makes a request that is answered by one JSON value.
func ask[T any](ctx context.Context, c *Client, method, path string) (T, error) {
	return send[T](ctx, c, method, path, nil)
}

// about is ask for a ref.
func about[T any](ctx context.Context, c *Client, method, path, ref string) (T, error) {
	if err := CheckRef(ref); err != nil {
		return *new(T), err
	}
	return ask[T](ctx, c, method, path+"?ref="+url.QueryEscape(ref))
}

// send makes a request with the object req, if it is not nil, that is answered by one JSON value.
func send[T any](ctx context.Context, c *Client, method, path string, req request) (T, error) {
	var v T
	body, err := c.do(ctx, method, path, req)
	if err != nil {
		return v, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err == nil {
		err = Unmarshal(raw, &v)
	}
	if err != nil {
		return v, own(ctx, fmt.Errorf("read answer of %s %s: %w", method, path, err))
	}
	return v, nil
}

// run makes a request that is answered by a stream of progress and a result.
func run[T any](ctx context.Context, c *Client, path string, req request, progress func(Progress)) (T, error) {
	var v T
	body, err := c.do(ctx, "POST", path, req)
	if err != nil {
		return v, err
	}
	defer body.Close()
	raw, err := readStream(body, func(e event) {
		if e.Progress != nil && progress != nil {
			progress(*e.Progress)
		}
	})
	if err == nil {
		err = Unmarshal(raw, &v)
	}
	if err != nil {
		return v, own(ctx, err)
	}
	return v, nil
}

// do checks and sends a request and gives the body of a good answer.
func (c *Client) do(ctx context.Context, method, path string, v request) (io.ReadCloser, error) {
	var body io.Reader
	if v != nil {
		if err := v.Check(); err != nil {
			return nil, err
		}
		raw, err := Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://shoal"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, own(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var e event
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil || Unmarshal(raw, &e) != nil || e.Error == nil {
		return nil, Errorf(Internal, "%s %s: the daemon answered %s", method, path, resp.Status)
	}
	return nil, e.Error
}

// own gives an error the caller's view: the end of ctx before what that did to the connection, and an *Error without
// net/http's wrapping.
func own(ctx context.Context, err error) error {
	var e *Error
	var u *url.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("ask the daemon: %w", ctx.Err())
	case errors.As(err, &e):
		return e
	case errors.As(err, &u):
		return Errorf(Stopped, "the daemon stopped or hung up: %w", u.Err)
	}
	return err
}
