package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// An array is answered with one element a line. It is JSON as any other, and the client reads it while the daemon still writes it.
const (
	listBegin  = "[\n"
	listNext   = ",\n"
	listEnd    = "\n]\n"
	listBuffer = 64 << 10
	listBlock  = 16 << 10 // is decoded at once
)

// askAll makes a request that is answered by an array.
func askAll[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	body, err := c.do(ctx, "GET", path, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	list, err := readList[T](bufio.NewReaderSize(io.LimitReader(body, maxAnswer), listBuffer))
	if err != nil {
		return nil, own(ctx, fmt.Errorf("read answer of GET %s: %w", path, err))
	}
	return list, nil
}

// readList reads an array, which begins with a line of its own if it has one element a line. Such a one is decoded in blocks, several at once.
func readList[T any](r *bufio.Reader) (list []T, err error) {
	begin, err := r.Peek(len(listBegin))
	if err != nil || string(begin) != listBegin {
		raw, err := io.ReadAll(r)
		if err == nil {
			err = Unmarshal(raw, &list)
		}
		return list, err
	}
	_, _ = r.Discard(len(begin))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	var blocks []*[]T
	for end := false; !end && err == nil; {
		var raw []byte
		if raw, end, err = readBlock(r); err == nil {
			block := new([]T)
			blocks = append(blocks, block)
			work.Go(func() error { return Unmarshal(raw, block) })
		}
	}
	if wrong := work.Wait(); err == nil {
		err = wrong
	}
	if err != nil {
		return nil, err
	}
	n := 0
	for _, block := range blocks {
		n += len(*block)
	}
	list = slices.Grow(list, n)
	for _, block := range blocks {
		list = append(list, *block...)
	}
	return list, nil
}

// readBlock reads some lines of an array, and makes them an array of their own. end says that they are the last.
func readBlock(r *bufio.Reader) (block []byte, end bool, err error) {
	block = append(make([]byte, 0, listBlock*3/2), '[')
	for !end && len(block) < listBlock {
		line := len(block)
		if block, err = appendLine(r, block); err != nil {
			return nil, false, err
		}
		end = string(block[line:]) == "]"
	}
	if !end {
		block = append(bytes.TrimSuffix(block, []byte(",")), ']')
	}
	return block, end, nil
}

// appendLine appends the next line to buf, without its end.
func appendLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case err == nil:
			return buf[:len(buf)-1], nil
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
