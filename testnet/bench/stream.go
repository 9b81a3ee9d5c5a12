package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node"
)

// The limit that a fetch is measured against: a process that reads a file and
// writes it to one libp2p stream, and one that hashes what comes and drops it.
// Neither writes a file, so shoal does more work than what it is compared with.

const (
	streamVerb  = "stream-end"
	streamProto = "/shoal/bench/stream/1.0.0"
	streamBuf   = 1 << 20
)

// bareStream moves path between two processes once. It returns bytes a second, and
// the CPU seconds of both, their start included.
func bareStream(ctx context.Context, path string, tuned bool) (rate, cpu float64, err error) {
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
	receiver := exec.CommandContext(ctx, self, streamVerb, mode, "-from", strings.TrimSpace(addr))
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
	tuned := flags.Bool("tuned", true, "with shoal's transports rather than libp2p's own")
	if err := flags.Parse(args); err != nil {
		return err
	}
	h, err := streamHost(*tuned)
	if err != nil {
		return err
	}
	defer h.Close()
	if *from != "" {
		return receiveStream(h, *from)
	}
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

func sendStream(s network.Stream, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		return err
	}
	// Hide the file's WriteTo and the stream's ReadFrom: copy in steps of streamBuf.
	_, err = io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{f}, make([]byte, streamBuf))
	return errors.Join(err, s.Close())
}

func receiveStream(h host.Host, addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := h.Connect(ctx, *info); err != nil {
		return err
	}
	s, err := h.NewStream(ctx, info.ID, streamProto)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := s.Write([]byte{1}); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{s}, make([]byte, streamBuf))
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%f %x\n", float64(n)/time.Since(start).Seconds(), binary.BigEndian.Uint64(sum.Sum(nil)))
	return nil
}
