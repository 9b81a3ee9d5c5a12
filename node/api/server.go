package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// ServerConfig says what a Server serves and where.
type ServerConfig struct {
	Home    string        // directory of the socket; must exist, its lock held by the caller
	Service Service       // answers the requests; its methods are called concurrently
	Logger  *slog.Logger  // nil: discards
	Grace   time.Duration // how long Run waits for cancelled requests before it cuts their connections; 0: 3 s
}

// Server serves a Service on the API socket of a home.
type Server struct {
	cfg      ServerConfig
	listener net.Listener
	close    sync.Once
}

// Listen binds the socket. From here on clients connect and wait; Run answers them.
func Listen(cfg ServerConfig) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Grace == 0 {
		cfg.Grace = 3 * time.Second
	}
	l, err := listen(cfg.Home)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, listener: l}, nil
}

// Run serves until ctx ends or Close is called. Then it stops accepting, cancels the requests that run, waits for them,
// and removes the socket. It returns nil after such an end.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	requests, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	srv := &http.Server{
		Handler:           Handler(s.cfg.Service, s.cfg.Logger),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	cancel(errStopping)
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
	defer done()
	if srv.Shutdown(grace) != nil {
		srv.Close()
	}
	if err == nil {
		err = <-served
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve API: %w", err)
}

// Close stops listening and removes the socket. It can be called more than once, and beside Run, which then ends.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		// The file goes first, so that a client never finds a socket that nobody listens on.
		err = errors.Join(removeFile(SocketPath(s.cfg.Home)), ignoreClosed(s.listener.Close()))
	})
	return err
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove API socket: %w", err)
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
