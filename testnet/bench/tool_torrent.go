package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Both torrent clients speak TCP and meet by a tracker of ours alone: no DHT, no local discovery, no port mapping.

func aria2Tool() tool {
	return tool{name: "aria2", missing: commands("aria2c:aria2"), seed: torrentSeed(startAria2), fetcher: aria2Fetcher}
}

func libtorrentTool() tool {
	missing := func() string {
		if python() == "" {
			return "Debian: python3-libtorrent"
		}
		return ""
	}
	return tool{name: "libtorrent", missing: missing, seed: torrentSeed(seedLibtorrent), fetcher: libtorrentFetcher}
}

// torrentSeed makes the torrent and the tracker, starts a seeder and waits until it is in the swarm.
func torrentSeed(start func(g *group, p place, torrent, dir string) (*proc, error)) func(context.Context, *group, place, string) (offer, error) {
	return func(ctx context.Context, g *group, p place, path string) (offer, error) {
		t, err := newTracker(g, p)
		if err != nil {
			return offer{}, err
		}
		torrent := filepath.Join(p.dir, "file.torrent")
		if err := makeTorrent(path, t.url, torrent); err != nil {
			return offer{}, err
		}
		proc, err := start(g, p, torrent, filepath.Dir(path))
		if err != nil {
			return offer{}, err
		}
		return offer{at: p, name: filepath.Base(path), link: torrent, proc: proc}, t.awaitSeeder(ctx, proc)
	}
}

// aria2Hook is run by aria2 when a download is whole; what it prints goes where aria2 prints.
const aria2Hook = "#!/bin/sh\necho whole\n"

// startAria2 downloads a torrent into dir, or seeds what is there.
func startAria2(g *group, p place, torrent, dir string) (*proc, error) {
	hook := filepath.Join(p.dir, "whole.sh")
	if err := os.WriteFile(hook, []byte(aria2Hook), 0o755); err != nil {
		return nil, err
	}
	return g.start(p, "aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
		"--interface="+p.ip, "--listen-port="+strconv.Itoa(p.port), "--bt-external-ip="+p.ip, "--disable-ipv6",
		"--dir="+dir, "--bt-seed-unverified", "--allow-overwrite", "--file-allocation=none", "--bt-max-open-files=1000",
		"--seed-ratio=0", "--summary-interval=0", "--show-console-readout=false", "--on-bt-download-complete="+hook, torrent)
}

func aria2Fetcher(_ context.Context, g *group, p place, o offer) (fetcher, error) {
	return func(ctx context.Context, dest string) (int64, error) {
		proc, err := startAria2(g, p, o.link, dest)
		if err != nil {
			return -1, err
		}
		_, err = proc.expect(ctx, "whole")
		return -1, err
	}, nil
}

//go:embed swarm.py
var libtorrentScript string

// python is an interpreter that has libtorrent: Debian's own, also where another comes first on the PATH. "" if there is none.
func python() string {
	for _, py := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(py, "-I", "-c", "import libtorrent").Run() == nil {
			return py
		}
	}
	return ""
}

func startLibtorrent(g *group, p place, role, torrent string) (*proc, error) {
	return g.start(p, python(), "-I", "-c", libtorrentScript, role, p.hostport(), torrent)
}

func seedLibtorrent(g *group, p place, torrent, dir string) (*proc, error) {
	proc, err := startLibtorrent(g, p, "seed", torrent)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(proc.in, dir)
	return proc, err
}

func libtorrentFetcher(ctx context.Context, g *group, p place, o offer) (fetcher, error) {
	proc, err := startLibtorrent(g, p, "fetch", o.link)
	if err != nil {
		return nil, err
	}
	if _, err := proc.expect(ctx, "ready"); err != nil {
		return nil, err
	}
	return func(ctx context.Context, dest string) (int64, error) {
		if _, err := fmt.Fprintln(proc.in, dest); err != nil {
			return -1, err
		}
		answer, err := proc.expect(ctx, "whole")
		if err != nil {
			return -1, err
		}
		return strconv.ParseInt(answer, 10, 64)
	}, nil
}

// transmissionTool checks what it has before it seeds, and takes no peers at loopback addresses.
func transmissionTool() tool {
	return tool{name: "transmission", lonely: "refuses peers on loopback", missing: commands("transmission-cli:transmission-cli"),
		seed: torrentSeed(startTransmission), fetcher: transmissionFetcher}
}

const transmissionSettings = `{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false,
"port-forwarding-enabled": false, "rpc-enabled": false, "blocklist-enabled": false, "encryption": 0, "bind-address-ipv4": "%s",
"bind-address-ipv6": "::1", "speed-limit-up-enabled": false, "speed-limit-down-enabled": false, "ratio-limit-enabled": false}
`

// startTransmission downloads a torrent into dir, or seeds what is there.
func startTransmission(g *group, p place, torrent, dir string) (*proc, error) {
	hook, config := filepath.Join(p.dir, "whole.sh"), filepath.Join(p.dir, "transmission")
	// Its progress has no line ends.
	err := errors.Join(os.WriteFile(hook, []byte("#!/bin/sh\necho; echo whole\n"), 0o755), os.MkdirAll(config, 0o755),
		os.WriteFile(filepath.Join(config, "settings.json"), fmt.Appendf(nil, transmissionSettings, p.ip), 0o600))
	if err != nil {
		return nil, err
	}
	return g.start(p, "transmission-cli", "-M", "-D", "-U", "-et", "-g", config, "-f", hook, "-p", strconv.Itoa(p.port), "-w", dir, torrent)
}

func transmissionFetcher(_ context.Context, g *group, p place, o offer) (fetcher, error) {
	return func(ctx context.Context, dest string) (int64, error) {
		proc, err := startTransmission(g, p, o.link, dest)
		if err != nil {
			return -1, err
		}
		_, err = proc.expect(ctx, "whole")
		return -1, err
	}, nil
}
