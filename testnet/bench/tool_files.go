package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Tools that serve files as they are, to one fetcher, without encryption.

func rsyncTool() tool {
	return tool{name: "rsync", missing: commands("rsync:rsync"), seed: rsyncSeed, fetcher: rsyncFetcher}
}

func rsyncSeed(ctx context.Context, g *group, p place, path string) (offer, error) {
	config := filepath.Join(p.dir, "rsyncd.conf")
	text := fmt.Sprintf("address = %s\nport = %d\nuse chroot = false\n[m]\npath = %s\n", p.ip, p.port, filepath.Dir(path))
	if os.Geteuid() == 0 {
		text = "uid = 0\ngid = 0\n" + text // else it takes nobody
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return offer{}, err
	}
	proc, err := g.start(p, "rsync", "--daemon", "--no-detach", "--config="+config)
	if err != nil {
		return offer{}, err
	}
	name := filepath.Base(path)
	link := fmt.Sprintf("rsync://%s/m/%s", p.reach(), name)
	return offer{at: p, name: name, link: link, proc: proc}, proc.listening(ctx, p)
}

func rsyncFetcher(_ context.Context, g *group, p place, o offer) (fetcher, error) {
	return func(ctx context.Context, dest string) (int64, error) {
		return 0, g.run(ctx, p, "rsync", "-a", o.link, dest+"/")
	}, nil
}

func nginxTool() tool {
	return tool{name: "nginx and curl", missing: commands("nginx:nginx-light", "curl:curl"), seed: nginxSeed, fetcher: curlFetcher}
}

func nginxSeed(ctx context.Context, g *group, p place, path string) (offer, error) {
	const text = `daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
	access_log off; sendfile on; tcp_nopush on;
	client_body_temp_path %[1]s/t; proxy_temp_path %[1]s/t; fastcgi_temp_path %[1]s/t; uwsgi_temp_path %[1]s/t; scgi_temp_path %[1]s/t;
	server { listen %[2]s; root %[3]s; }
}
`
	config := filepath.Join(p.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, text, p.dir, p.hostport(), filepath.Dir(path)), 0o600); err != nil {
		return offer{}, err
	}
	proc, err := g.start(p, "nginx", "-p", p.dir, "-e", filepath.Join(p.dir, "error.log"), "-c", config)
	if err != nil {
		return offer{}, err
	}
	name := filepath.Base(path)
	return offer{at: p, name: name, link: "http://" + p.reach() + "/" + name, proc: proc}, proc.listening(ctx, p)
}

func curlFetcher(_ context.Context, g *group, p place, o offer) (fetcher, error) {
	return func(ctx context.Context, dest string) (int64, error) {
		return 0, g.run(ctx, p, "curl", "-q", "-sSf", "-o", filepath.Join(dest, o.name), o.link)
	}, nil
}

// cpTool is a limit: no network, no second process.
func cpTool() tool {
	seed := func(_ context.Context, _ *group, p place, path string) (offer, error) {
		return offer{at: p, name: filepath.Base(path), link: path}, nil
	}
	fetch := func(_ context.Context, g *group, p place, o offer) (fetcher, error) {
		return func(ctx context.Context, dest string) (int64, error) {
			return 0, g.run(ctx, p, "cp", "-r", o.link, dest)
		}, nil
	}
	return tool{name: "cp", missing: commands("cp:coreutils"), seed: seed, fetcher: fetch}
}
