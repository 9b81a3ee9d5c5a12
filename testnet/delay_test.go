package testnet

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// joined is a Delay between two pipes: what the near end writes, the far end reads.
func joined(t *testing.T, d *Delay) (near, far net.Conn) {
	near, in := net.Pipe()
	out, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		d.join(t.Context(), in, out)
		close(done)
	}()
	t.Cleanup(func() { near.Close(); far.Close(); <-done })
	return near, far
}

func TestDelayIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const oneWay = 30 * time.Millisecond
		near, far := joined(t, &Delay{OneWay: oneWay, Rate: 8e6}) // 1 MB/s: a byte takes 1 µs
		for i, way := range []struct {
			name     string
			from, to net.Conn
		}{{"there", near, far}, {"back", far, near}} {
			if i == 0 {
				time.Sleep(2 * oneWay) // until it is open; virtual time
			}
			start := time.Now()
			if _, err := way.from.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(way.to, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if took, want := time.Since(start), oneWay+time.Millisecond; took != want {
				t.Errorf("%s: %s, want %s", way.name, took, want)
			}
		}
	})
}

func TestDelayOpensAfterARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := joined(t, &Delay{OneWay: 100 * time.Millisecond})
		start := time.Now()
		go near.Write([]byte{1})
		if _, err := far.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took.Round(time.Millisecond) != 300*time.Millisecond {
			t.Errorf("the first byte took %s", took)
		}
	})
}

func TestDelayKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Delay{OneWay: 100 * time.Millisecond, Rate: 80e6} // 10 MB/s
		near, far := joined(t, d)
		data := make([]byte, 5_000_000)
		rand.NewChaCha8([32]byte{}).Read(data)
		time.Sleep(200 * time.Millisecond) // until it is open; virtual time
		start := time.Now()
		go func() {
			near.Write(data)
			near.Close()
		}()
		got, err := io.ReadAll(far)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d of %d bytes came, or others: %v", len(got), len(data), err)
		}
		if took := time.Since(start).Round(time.Millisecond); took != 600*time.Millisecond {
			t.Errorf("took %s, want 500 ms for the rate and 100 ms for the way", took)
		}
		if up, down := d.Bytes(); up != int64(len(data)) || down != 0 {
			t.Errorf("counted %d and %d", up, down)
		}
	})
}

// A reader that does not read holds up the writer: what is under way is bounded.
func TestDelayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Delay{OneWay: time.Hour, Rate: 80e6}
		near, _ := joined(t, d)
		near.SetWriteDeadline(time.Now().Add(2*time.Hour + time.Minute))
		near.Write(make([]byte, 1<<30)) // until the deadline, long before it is all taken
		if up, _ := d.Bytes(); up > delayPieces*delayPiece+2*delayPiece {
			t.Errorf("%d bytes are under way", up)
		}
	})
}

func TestDelayServes(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- (&Delay{Target: echo.Addr().String(), OneWay: time.Millisecond}).Serve(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data := bytes.Repeat([]byte("shoal"), 100_000)
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back, or others: %v", len(got), len(data), err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
