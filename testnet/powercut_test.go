//go:build linux

package testnet_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/node/api"
	"shoal/testnet"
	faultfs "shoal/testnet/fault"
)

var (
	cutImages = flag.Int("cut.images", 2, "power cuts that TestPowerCut makes on each kind of file system")
	cutSeed   = flag.Uint64("cut.seed", 0, "first seed of TestPowerCut; 0: a random one")
)

// TestPowerCut cuts the power at random moments of share and get: what a disk with a volatile cache then holds is mounted again, and the
// same commands finish the work on it. The home and the data lie on that disk, or the home alone. Every byte is compared, and verify --full
// finds nothing. It takes root, FUSE and loop devices: apt-get install fuse3 xfsprogs.
//
// The full run is `go test ./testnet -run TestPowerCut -cut.images 15 -timeout 1h`.
func TestPowerCut(t *testing.T) {
	big(t)
	seed := *cutSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	lab := testnet.Start(t, 1, testnet.Options{Args: []string{"--limit-up", "60MB/s"}})
	for _, kind := range []string{"ext4", "xfs"} {
		for done, i := 0, uint64(0); done < *cutImages; i++ {
			images := min(4, *cutImages-done)
			if i%3 == 2 {
				images = 1
			}
			done += images
			ok := t.Run(fmt.Sprintf("%s/seed %d", kind, seed+i), func(t *testing.T) {
				c := cutter{killer: &killer{t: t, rng: rand.New(rand.NewPCG(seed+i, 1)), lab: lab, sharer: lab.Peers[0]}, kind: kind}
				c.run(images)
			})
			if !ok {
				t.Fatalf("replay it with -cut.seed %d", seed+i)
			}
		}
	}
}

// cutter makes power cuts in one run of share and get.
type cutter struct {
	*killer

	kind                    string
	at, mnt, home           string
	data, own, source, dest string
	files                   []string // in own
}

// run shares one tree and gets another on a disk that loses power meanwhile, at so many moments. With one, the home alone is on that disk.
func (c *cutter) run(images int) {
	t := c.t
	c.at = t.TempDir()
	disk := faultfs.NewDisk(t, filepath.Join(c.at, "fuse"), 512<<20)
	disk.Pages = c.kind == "xfs"
	faultfs.MakeFS(t, disk.Device, c.kind)
	c.mnt = filepath.Join(c.at, "mnt")
	c.check(os.Mkdir(c.mnt, 0o755))
	unmount := faultfs.MountAt(t, disk.Device, c.mnt, c.kind)

	c.home, c.source, c.data = filepath.Join(c.mnt, "home"), filepath.Join(c.at, "source"), filepath.Join(c.mnt, "data")
	if images == 1 {
		c.data = filepath.Join(c.at, "data")
	}
	c.own, c.dest = filepath.Join(c.data, "own"), filepath.Join(c.data, "copy")
	c.makeTree(c.source)
	shared := c.sharer.Share(c.source)
	defer c.sharer.Must("rm", shared.CID)
	c.check(os.Mkdir(c.data, 0o755))
	c.files = c.makeTree(c.own)
	c.check(exec.Command("sync", "-f", c.mnt).Run())

	disk.Record()
	v := c.start()
	v.run("share", c.own)
	v.run("get", "-o", c.dest, shared.Link)
	cid := strings.TrimSpace(v.run("cid", c.own))
	v.kill()
	unmount()
	total := disk.Recorded()
	for range images {
		moment := c.rng.IntN(total + 1)
		t.Logf("power cut after %d of %d writes and flushes", moment, total)
		image := filepath.Join(c.at, "cut.img")
		c.check(disk.ImageAt(moment, image, c.rng))
		c.finish(image, cid, shared)
	}
}

// finish does all again on what a power cut has left.
func (c *cutter) finish(image, cid string, shared api.ShareResult) {
	unmount := faultfs.MountAgain(c.t, image, c.mnt, c.kind)
	defer unmount()
	c.again()
	v := c.start()
	defer v.kill()
	if got := v.run("share", "--json", c.own); !strings.Contains(got, cid) {
		c.t.Fatalf("after the cut it is shared as another root than %s: %s", cid, got)
	}
	v.run("get", "-o", c.data+"/", strings.Replace(shared.Link, "filename=source", "filename=copy", 1))
	c.same(c.source, c.dest)
	v.run("verify", "--full", shared.CID)
	v.run("verify", "--full", cid)
	list, err := os.ReadDir(c.data)
	c.check(err)
	if len(list) != 2 {
		c.t.Fatalf("something is left over:\n%s", listing(c.data))
	}
}

// again holds that the user's own files have survived, without which the rest shows nothing.
func (c *cutter) again() {
	for _, rel := range c.files {
		if _, err := os.Lstat(filepath.Join(c.own, rel)); err != nil {
			c.t.Fatalf("the image lacks what was synced before: %v", err)
		}
	}
}

// victim is a daemon whose home is on the disk that loses power.
type victim struct {
	c   *cutter
	cmd *exec.Cmd
	log string
}

func (c *cutter) start() *victim {
	v := &victim{c: c, log: filepath.Join(c.t.TempDir(), "log")}
	log, err := os.Create(v.log)
	c.check(err)
	defer log.Close()
	v.cmd = c.sharer.Command(context.Background())
	v.cmd.Args = []string{v.cmd.Args[0], "--home", c.home, "daemon", "--bootstrap", c.sharer.Addrs()[0]}
	v.cmd.Stdout, v.cmd.Stderr = log, log
	c.check(v.cmd.Start())
	c.t.Cleanup(v.kill)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for { // a command would do without the daemon, and keep the home from it
		_, err := api.NewClient(c.home).ID(ctx)
		if err == nil {
			return v
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			out, _ := os.ReadFile(v.log)
			c.t.Fatalf("the daemon does not start (%v): %s", err, out)
		}
	}
}

func (v *victim) kill() {
	v.cmd.Process.Kill()
	v.cmd.Wait() // it has been waited for already, the second time
}

func (v *victim) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	v.c.t.Cleanup(cancel)
	cmd := v.c.sharer.Command(ctx)
	cmd.Args = append([]string{cmd.Args[0], "--home", v.c.home}, args...)
	return cmd
}

// run runs a command that has to succeed.
func (v *victim) run(args ...string) string {
	v.c.t.Helper()
	out, err := v.command(args...).Output()
	if err != nil {
		var exit *exec.ExitError
		said := ""
		if errors.As(err, &exit) {
			said = string(exit.Stderr)
		}
		log, _ := os.ReadFile(v.log)
		v.c.t.Fatalf("%v: %v\n%s%s\nlog:\n%s", args, err, out, said, log)
	}
	return string(out)
}
