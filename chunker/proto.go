package chunker

import (
	"encoding/binary"
	"fmt"
)

// Wire types of protocol buffers. Groups (3 and 4) are long gone and refused.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// fields iterates over a protocol buffer message without copying.
type fields struct {
	b    []byte
	num  uint64 // of the current field
	wire int
	val  uint64 // of a varint, 32 or 64 bit field
	sub  []byte // of a bytes field
	err  error
}

// next moves to the next field; false at the end or on an error in f.err.
func (f *fields) next() bool {
	if len(f.b) == 0 || f.err != nil {
		return false
	}
	tag, ok := f.varint()
	if !ok {
		return false
	}
	f.num, f.wire = tag>>3, int(tag&7)
	switch f.wire {
	case wireVarint:
		f.val, ok = f.varint()
		return ok
	case wireBytes:
		n, ok := f.varint()
		if !ok {
			return false
		}
		if n > uint64(len(f.b)) {
			return f.bad("field %d of %d bytes goes past the end", f.num, n)
		}
		f.sub, f.b = f.b[:n], f.b[n:]
		return true
	case wire32:
		if len(f.b) < 4 {
			return f.bad("field %d is cut off", f.num)
		}
		f.val, f.b = uint64(binary.LittleEndian.Uint32(f.b)), f.b[4:]
		return true
	case wire64:
		if len(f.b) < 8 {
			return f.bad("field %d is cut off", f.num)
		}
		f.val, f.b = binary.LittleEndian.Uint64(f.b), f.b[8:]
		return true
	}
	return f.bad("wire type %d", f.wire)
}

func (f *fields) varint() (uint64, bool) {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		return 0, f.bad("bad varint")
	}
	f.b = f.b[n:]
	return v, true
}

// bad records an error and returns false.
func (f *fields) bad(format string, args ...any) bool {
	f.err = fmt.Errorf("%w: protobuf: %s", ErrMalformed, fmt.Sprintf(format, args...))
	return false
}
