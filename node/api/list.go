package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// An array is answered with one element a line. It is JSON as any other, and the client reads it while the daemon still writes it.
const (
	listBegin  = "[\n"
	listNext   = ",\n"
	listEnd    = "\n]\n"
	listBuffer = 64 << 10
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

// readList reads an array, which begins with a line of its own if it has one element a line.
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
	for line := []byte(nil); ; {
		if line, err = appendLine(r, line[:0]); err != nil {
			return nil, err
		}
		if string(line) == "]" {
			return list, nil
		}
		if len(line) == 0 && len(list) == 0 {
			continue // it has none
		}
		list = append(list, *new(T))
		if err := Unmarshal(bytes.TrimSuffix(line, []byte(",")), &list[len(list)-1]); err != nil {
			return nil, err
		}
	}
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
