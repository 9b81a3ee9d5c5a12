package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// syncthingTool is a pair of nodes that know each other and nobody else. The sender has indexed the folder and is connected; the receiver
// has the folder paused, and the time runs from its being resumed. It talks to their API, and so works on loopback only.
func syncthingTool() tool {
	return tool{name: "syncthing", missing: commands("syncthing:syncthing", "cp:coreutils"), seed: syncthingSeed, fetcher: syncthingFetcher}
}

// syncthing is one node.
type syncthing struct {
	home, id, api string // directory, device ID, host:port
	proc          *proc
}

const (
	syncthingKey    = "bench" // of the API
	syncthingFolder = "f"
)

// syncthingConfig has nothing in it that looks for others, or reports to anybody.
const syncthingConfig = `<configuration version="36">
<folder id="f" label="f" path="%[1]s" type="%[2]s" rescanIntervalS="0" fsWatcherEnabled="false">
<device id="%[3]s"/><device id="%[4]s"/><paused>%[5]t</paused></folder>
<device id="%[3]s" name="me"><address>dynamic</address></device>
<device id="%[4]s" name="other"><address>%[6]s</address></device>
<gui enabled="true" tls="false"><address>%[7]s</address><apikey>bench</apikey></gui>
<options><listenAddress>tcp://%[8]s</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
<stunKeepaliveStartS>0</stunKeepaliveStartS><reconnectionIntervalS>1</reconnectionIntervalS><startBrowser>false</startBrowser>
<urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>
<setLowPriority>false</setLowPriority></options>
</configuration>
`

// syncthingIdentity makes a node's keys in home.
func syncthingIdentity(ctx context.Context, g *group, p place, home string) (syncthing, error) {
	if err := g.run(ctx, p, "syncthing", "generate", "--home="+home, "--no-default-folder", "--skip-port-probing"); err != nil {
		return syncthing{}, err
	}
	var config struct {
		Device struct {
			ID string `xml:"id,attr"`
		} `xml:"device"`
	}
	raw, err := os.ReadFile(filepath.Join(home, "config.xml"))
	if err == nil {
		err = xml.Unmarshal(raw, &config)
	}
	port, perr := freePort(localhost)
	if err == nil {
		err = perr
	}
	return syncthing{home: home, id: config.Device.ID, api: fmt.Sprintf("%s:%d", localhost, port)}, err
}

// start runs the node with a folder; it waits until the API answers.
func (s *syncthing) start(ctx context.Context, g *group, p place, folder, kind string, paused bool, other, otherAddr string) error {
	config := fmt.Appendf(nil, syncthingConfig, folder, kind, s.id, other, paused, otherAddr, s.api, p.hostport())
	if err := os.WriteFile(filepath.Join(s.home, "config.xml"), config, 0o600); err != nil {
		return err
	}
	var err error // STMONITORED: one process, not one that watches another
	s.proc, err = g.start(p, "env", "STMONITORED=yes", "syncthing", "serve", "--home="+s.home, "--no-browser", "--no-restart", "--no-upgrade")
	if err != nil {
		return err
	}
	return s.until(ctx, "system/ping", &struct{}{}, func() bool { return true })
}

// syncthingStatus is what of GET /rest/db/status tells whether a folder is in step.
type syncthingStatus struct {
	State       string `json:"state"`
	GlobalFiles int    `json:"globalFiles"` // bytes would count directories too
	NeedTotal   int    `json:"needTotalItems"`
}

func (s syncthingStatus) whole(files int) bool {
	return s.State == "idle" && s.GlobalFiles == files && s.NeedTotal == 0
}

func (s *syncthing) call(ctx context.Context, method, path, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.api+"/rest/"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", syncthingKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("syncthing: %s %s: %s", method, path, resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// until asks the API until it gives an answer that cond takes.
func (s *syncthing) until(ctx context.Context, path string, answer any, cond func() bool) error {
	return poll(ctx, func() (bool, error) {
		select {
		case <-s.proc.exited:
			return false, s.proc.failed()
		default:
		}
		return s.call(ctx, http.MethodGet, path, "", answer) == nil && cond(), nil
	})
}

func syncthingSeed(ctx context.Context, g *group, p place, path string) (offer, error) {
	folder := filepath.Join(p.dir, "folder") // of its own: it gets a marker, and a folder holds directories, not files
	if err := os.Mkdir(folder, 0o755); err != nil {
		return offer{}, err
	}
	if err := g.run(ctx, p, "cp", "-rl", path, folder); err != nil {
		return offer{}, err
	}
	sender, err := syncthingIdentity(ctx, g, p, filepath.Join(p.dir, "sender"))
	if err != nil {
		return offer{}, err
	}
	receiver, err := syncthingIdentity(ctx, g, p, filepath.Join(p.dir, "receiver"))
	if err != nil {
		return offer{}, err
	}
	if err := sender.start(ctx, g, p, folder, "sendonly", false, receiver.id, "dynamic"); err != nil {
		return offer{}, err
	}
	var status syncthingStatus
	files := treeFiles(path)
	err = sender.until(ctx, "db/status?folder="+syncthingFolder, &status, func() bool { return status.whole(files) })
	if err != nil {
		return offer{}, err
	}
	return offer{at: p, name: filepath.Base(path), link: path, proc: sender.proc, addrs: []string{sender.id, receiver.home, receiver.id}}, nil
}

func syncthingFetcher(ctx context.Context, g *group, p place, o offer) (fetcher, error) {
	port, err := freePort(localhost)
	if err != nil {
		return nil, err
	}
	s := syncthing{home: o.addrs[1], id: o.addrs[2], api: fmt.Sprintf("%s:%d", localhost, port)}
	dest := filepath.Join(p.dir, "dest")
	if err := s.start(ctx, g, p, dest, "receiveonly", true, o.addrs[0], "tcp://"+o.at.hostport()); err != nil {
		return nil, err
	}
	var links struct {
		Connections map[string]struct{ Connected bool }
	}
	err = s.until(ctx, "system/connections", &links, func() bool { return links.Connections[o.addrs[0]].Connected })
	if err != nil {
		return nil, err
	}
	files := treeFiles(o.link)
	return func(ctx context.Context, _ string) (int64, error) {
		if err := s.call(ctx, http.MethodPatch, "config/folders/"+syncthingFolder, `{"paused": false}`, nil); err != nil {
			return -1, err
		}
		var status syncthingStatus
		return -1, s.until(ctx, "db/status?folder="+syncthingFolder, &status, func() bool { return status.whole(files) })
	}, nil
}
