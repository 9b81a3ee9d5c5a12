package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"shoal/node"
)

// The limit that a fetch is measured against: a process that reads a file and
// writes it to libp2p streams, and one that hashes what comes and drops it. Each
// stream has a connection of its own and carries an equal part of the file. Neither
// process writes a file, so shoal does more work than what it is compared with.

const (
	streamVerb  = "stream-end"
	streamProto = "/shoal/bench/stream/1.0.0"
	streamBuf   = 1 << 20
)

// bareStream moves path between two processes once, over so many connections. It
// returns bytes a second, and the CPU seconds of both, their start included.
func bareStream(ctx context.Context, path string, tuned bool, conns int) (rate, cpu float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	mode := fmt.Sprintf("-tuned=%v", tuned)
	sender := exec.CommandContext(ctx, self, streamVerb, mode, "-send", path)
	sender.Stderr = os.Stderr
	out, err := sender.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	hold, err := sender.StdinPipe() // closing it ends the sender
	if err != nil {
		return 0, 0, err
	}
	if err := sender.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		hold.Close()
		if werr := sender.Wait(); err == nil {
			err = werr
		}
		cpu += cpuOf(sender)
	}()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, 0, fmt.Errorf("the sending end did not start: %w", err)
	}
	receiver := exec.CommandContext(ctx, self, streamVerb, mode, fmt.Sprintf("-conns=%d", conns), "-from", strings.TrimSpace(addr))
	receiver.Stderr = os.Stderr
	line, err := receiver.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("the receiving end: %w", err)
	}
	_, err = fmt.Sscan(string(line), &rate)
	return rate, cpuOf(receiver), err
}

func cpuOf(c *exec.Cmd) float64 {
	return (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
}

// runStreamEnd is one end of a bare stream, in a process of its own.
func runStreamEnd(args []string) error {
	flags := flag.NewFlagSet(streamVerb, flag.ContinueOnError)
	send := flags.String("send", "", "file to send to whoever connects")
	from := flags.String("from", "", "address to receive from")
	conns := flags.Int("conns", 1, "connections to receive over")
	tuned := flags.Bool("tuned", true, "with shoal's transports rather than libp2p's own")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *from != "" {
		return receiveFile(*tuned, *conns, *from)
	}
	h, err := streamHost(*tuned)
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(streamProto, func(s network.Stream) {
		if err := sendStream(s, *send); err != nil {
			fmt.Fprintln(os.Stderr, "bench: send:", err)
			s.Reset()
		}
	})
	fmt.Printf("%s/p2p/%s\n", h.Addrs()[0], h.ID())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func streamHost(tuned bool) (host.Host, error) {
	opts := []libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay()}
	if tuned {
		opts = append(opts, node.TransportOptions()...)
	}
	return libp2p.New(opts...)
}

// A receiver says which part of how many it wants, in a byte each.
func sendStream(s network.Stream, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var part [2]byte
	if _, err := io.ReadFull(s, part[:]); err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	first, end := fi.Size()*int64(part[0])/int64(part[1]), fi.Size()*int64(part[0]+1)/int64(part[1])
	// Hide the stream's ReadFrom: copy in steps of streamBuf.
	_, err = io.CopyBuffer(struct{ io.Writer }{s}, io.NewSectionReader(f, first, end-first), make([]byte, streamBuf))
	return errors.Join(err, s.Close())
}

// receiveFile prints at how many bytes a second the file came. Each connection is
// that of a host of its own, for a host keeps but one.
func receiveFile(tuned bool, conns int, addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	ctx := context.Background()
	streams := make([]network.Stream, conns)
	for i := range streams {
		h, err := streamHost(tuned)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := h.Connect(ctx, *info); err != nil {
			return err
		}
		if streams[i], err = h.NewStream(ctx, info.ID, streamProto); err != nil {
			return err
		}
	}
	start := time.Now()
	var received atomic.Int64
	var parts errgroup.Group
	for i, s := range streams {
		parts.Go(func() error {
			n, err := receiveStream(s, i, conns)
			received.Add(n)
			return err
		})
	}
	if err := parts.Wait(); err != nil {
		return err
	}
	_, err = fmt.Printf("%f\n", float64(received.Load())/time.Since(start).Seconds())
	return err
}

// receiveStream hashes the part i of n.
func receiveStream(s network.Stream, i, n int) (int64, error) {
	if _, err := s.Write([]byte{byte(i), byte(n)}); err != nil {
		return 0, err
	}
	return io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{s}, make([]byte, streamBuf))
}
