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
	via string // host:port to tell of the first peer instead of its own; ""

	mu    sync.Mutex
	peers []trackerPeer
}

type trackerPeer struct {
	ip     string
	port   int
	seeder bool
}

// newTracker serves those who can reach p until the group is closed. The first who announces itself is p.
func newTracker(g *group, p place) (*tracker, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort(p.gateway(), "0"))
	if err != nil {
		return nil, err
	}
	t := &tracker{url: "http://" + l.Addr().String() + "/announce", via: p.via}
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
	var others, out bytes.Buffer
	ip, _, _ := net.SplitHostPort(r.RemoteAddr)
	port, err := strconv.Atoi(r.FormValue("port"))
	if err != nil {
		http.Error(w, "no port", http.StatusBadRequest)
		return
	}
	if r.FormValue("event") == "stopped" { // transmission says so before it starts
		bencode(&out, map[string]any{"interval": 10, "peers": ""})
		w.Write(out.Bytes())
		return
	}
	me := trackerPeer{ip: ip, port: port, seeder: r.FormValue("left") == "0"}
	t.mu.Lock()
	known := false
	for i, p := range t.peers {
		if p.ip == me.ip && p.port == me.port {
			known = true
			continue
		}
		if i == 0 && t.via != "" {
			p = viaPeer(t.via)
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

// viaPeer is a peer at an IPv4 host:port.
func viaPeer(hostport string) trackerPeer {
	addr, err := net.ResolveTCPAddr("tcp4", hostport)
	if err != nil {
		return trackerPeer{ip: "0.0.0.0"}
	}
	return trackerPeer{ip: addr.IP.String(), port: addr.Port}
}
