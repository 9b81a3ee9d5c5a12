package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// tracker is the smallest one that lets a swarm meet (BEP 3, BEP 23): one torrent, everybody gets to know everybody who came before.
type tracker struct {
	url string

	mu    sync.Mutex
	peers []trackerPeer
}

type trackerPeer struct {
	ip     string
	port   int
	seeder bool
}

// newTracker serves on a free port of ip until the group is closed.
func newTracker(g *group, ip string) (*tracker, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		return nil, err
	}
	t := &tracker{url: "http://" + l.Addr().String() + "/announce"}
	server := &http.Server{Handler: t}
	done := make(chan struct{})
	go func() {
		server.Serve(l) // until closed
		close(done)
	}()
	g.atClose(func() { server.Close(); <-done })
	return t, nil
}

func (t *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	port, err := strconv.Atoi(r.FormValue("port"))
	if err != nil {
		http.Error(w, "no port", http.StatusBadRequest)
		return
	}
	me := trackerPeer{ip: ip, port: port, seeder: r.FormValue("left") == "0"}
	var others, out bytes.Buffer
	t.mu.Lock()
	known := false
	for _, p := range t.peers {
		if p.ip == me.ip && p.port == me.port {
			known = true
			continue
		}
		others.Write(net.ParseIP(p.ip).To4())
		others.Write([]byte{byte(p.port >> 8), byte(p.port)})
	}
	if !known {
		t.peers = append(t.peers, me)
	}
	t.mu.Unlock()
	bencode(&out, map[string]any{"interval": 10, "peers": others.String()})
	w.Write(out.Bytes())
}

// awaitSeeder waits until a peer that has everything has announced itself.
func (t *tracker) awaitSeeder(ctx context.Context, seeder *proc) error {
	return poll(ctx, func() (bool, error) {
		select {
		case <-seeder.exited:
			return false, seeder.failed()
		default:
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		return len(t.peers) > 0 && t.peers[0].seeder, nil
	})
}
