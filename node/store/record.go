package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// recordVersion heads every record and row, so that a newer shoal can tell them apart. Version 1 had fewer fields, and
// its rows neither a time of change nor a device: they are read as unknown.
const recordVersion = 2

// record is the value of a share ('s') or of an unfinished download ('d').
type record struct {
	root cid.Cid // from the key
	tag  byte    // from the key: 's', 'a' or 'd'
	id   shareID

	name      string   // of the share; of a download the one asked for, "" if none was
	suggested string   // name that a peer gave, sanitised
	bases     []string // share: absolute paths that rows start from, bases[0] the newest
	dir       string   // download: parent directory, absolute
	part      string   // download: name in dir that is written to
	selects   []string
	sub       string
	reason    string

	tree      bool  // the result is a directory
	complete  bool  // every inner node is known
	all       bool  // every leaf is had; no bits are stored
	force     bool  // download: may replace the destination
	rename    bool  // download: names that the destination cannot hold get others
	placing   bool  // download: Finish may have moved the result already
	made      bool  // download: dir/part was made by us, with partInode
	old       bool  // an older version: another root has taken its path; added is when
	sealed    bool  // download: it was closed in order, so that the stats in its rows are the last ones it left
	state     State // of a download Fetching or Paused
	files     int
	leaves    int
	nodes     int
	have      int
	size      int64 // bytes
	haveBytes int64
	added     int64  // ns since the epoch
	partInode uint64 // download: of dir/part, once made: its identity.mark

	partDevice uint64 // download: that dir/part is on, once made; 0: unknown
	bad        int    // files that no longer fit
	leftOut    string // share: what a fetch left out of what was wanted, a clause; "": nothing

	excludes []string // share: patterns of the names inside it that were left out

	ignores []string // share: ignore files that were followed and are not part of it

	focus []string // download: what was asked for last, where that is less than what it is for

	written *written // download that was forgotten: what may lie in its .part; not stored
}

const (
	flagTree = 1 << iota
	flagComplete
	flagAll
	flagForce
	flagPlacing
	flagMade
	flagOld
	flagSealed
	flagRename
	flagsKnown = 1<<iota - 1
)

func (r *record) encode() []byte {
	e := encoder{buf: make([]byte, 0, 128)}
	e.uint(recordVersion)
	e.uint(uint64(r.id))
	e.uint(uint64(r.state))
	e.uint(r.flags())
	for _, s := range []string{r.name, r.suggested, r.dir, r.part, r.sub, r.reason} {
		e.string(s)
	}
	e.strings(r.bases)
	e.strings(r.selects)
	for _, n := range []int{r.files, r.leaves, r.nodes, r.have, r.bad} {
		e.uint(uint64(n))
	}
	e.uint(uint64(r.size))
	e.uint(uint64(r.haveBytes))
	e.int(r.added)
	e.uint(r.partInode)
	e.uint(r.partDevice)
	e.string(r.leftOut)
	e.strings(r.excludes)
	if len(r.focus)+len(r.ignores) > 0 {
		e.strings(r.focus)
		e.strings(r.ignores)
	}
	return e.buf
}

func (r *record) flags() uint64 {
	var f uint64
	for i, on := range []bool{r.tree, r.complete, r.all, r.force, r.placing, r.made, r.old, r.sealed, r.rename} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

func decodeRecord(b []byte) (*record, error) {
	d := decoder{buf: b}
	version := d.version()
	r := &record{id: shareID(d.uint())}
	state, f := d.uint(), d.uint()
	r.state = State(state)
	if f&^flagsKnown != 0 || state < uint64(Complete) || state > uint64(Changed) {
		d.fail(errors.New("unknown flags or state"))
	}
	r.tree, r.complete, r.all = f&flagTree != 0, f&flagComplete != 0, f&flagAll != 0
	r.force, r.placing, r.made, r.old = f&flagForce != 0, f&flagPlacing != 0, f&flagMade != 0, f&flagOld != 0
	r.sealed = f&flagSealed != 0
	r.rename = f&flagRename != 0
	for _, s := range []*string{&r.name, &r.suggested, &r.dir, &r.part, &r.sub, &r.reason} {
		*s = d.string()
	}
	r.bases, r.selects = d.strings(), d.strings()
	for _, n := range []*int{&r.files, &r.leaves, &r.nodes, &r.have, &r.bad} {
		*n = d.count()
	}
	r.size, r.haveBytes = d.size(), d.size()
	r.added, r.partInode = d.int(), d.uint()
	if version > 1 {
		r.partDevice, r.leftOut = d.uint(), d.string()
		r.excludes = d.strings()
	}
	if version > 1 && len(d.buf) > 0 {
		if r.focus, r.ignores = d.strings(), d.strings(); len(r.focus)+len(r.ignores) == 0 {
			d.fail(errors.New("an end that says nothing"))
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode record: %w", err)
	}
	return r, nil
}

// share is the record as callers see it.
func (r *record) share() Share {
	return Share{
		Root: r.root, Name: r.title(), Path: r.path(), Dir: r.tree, Size: r.size,
		Files: r.files, Leaves: r.leaves, Have: r.have, HaveBytes: r.haveBytes,
		Added: time.Unix(0, r.added), State: r.state, Reason: r.reason,
		Select: r.selects, Sub: r.sub, LeftOut: r.leftOut,
	}
}

// row is the value of a file ('f'): where it is, what it looked like when its
// content was known, and how its leaves are cut.
type row struct {
	leaf, entry int // from the key
	base        int // index in record.bases
	path        string
	stat        chunker.FileStat
	cut         cut
}

func (r *row) encode() []byte {
	e := encoder{buf: make([]byte, 0, 48+len(r.path))}
	e.uint(recordVersion)
	e.uint(uint64(r.base))
	e.string(r.path)
	e.uint(uint64(r.stat.Size))
	e.int(r.stat.ModTime)
	e.uint(r.stat.Inode)
	e.int(r.stat.Ctime)
	e.uint(r.stat.Device)
	r.cut.encode(&e)
	return e.buf
}

func decodeRow(key, b []byte) (*row, error) {
	d := decoder{buf: b}
	version := d.version()
	r := &row{base: d.count(), path: d.string()}
	r.stat = chunker.FileStat{Size: d.size(), ModTime: d.int(), Inode: d.uint()}
	if version > 1 {
		r.stat.Ctime, r.stat.Device = d.int(), d.uint()
	}
	r.cut = decodeCut(&d)
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode file row: %w", err)
	}
	if len(key) == 25 {
		r.leaf, r.entry = splitFile(key)
	}
	return r, nil
}

// encoder appends varints and length-prefixed strings.
type encoder struct{ buf []byte }

func (e *encoder) uint(v uint64)   { e.buf = binary.AppendUvarint(e.buf, v) }
func (e *encoder) int(v int64)     { e.buf = binary.AppendVarint(e.buf, v) }
func (e *encoder) string(s string) { e.uint(uint64(len(s))); e.buf = append(e.buf, s...) }
func (e *encoder) strings(l []string) {
	e.uint(uint64(len(l)))
	for _, s := range l {
		e.string(s)
	}
}

// decoder undoes encoder. The first error sticks and every later value is zero.
type decoder struct {
	buf []byte
	err error
}

var errShort = errors.New("cut short")

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.buf = nil
}

// version reads the number that heads a record or row, which must be one that this binary knows.
func (d *decoder) version() uint64 {
	v := d.uint()
	if d.err == nil && (v < 1 || v > recordVersion) {
		d.fail(fmt.Errorf("version %d", v))
	}
	return v
}

// uint takes a varint in its shortest form, so that each value has one encoding.
func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || (n > 1 && d.buf[n-1] == 0) {
		d.fail(errShort)
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) int() int64 {
	v := d.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// size is a non-negative int64.
func (d *decoder) size() int64 {
	v := d.uint()
	if int64(v) < 0 {
		d.fail(errors.New("size out of range"))
		return 0
	}
	return int64(v)
}

// count is a non-negative int.
func (d *decoder) count() int {
	v := d.size()
	if int64(int(v)) != v {
		d.fail(errors.New("count out of range"))
		return 0
	}
	return int(v)
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.buf)) {
		d.fail(errShort)
		return ""
	}
	s := string(d.buf[:n])
	d.buf = d.buf[n:]
	return s
}

// strings bounds the count by the bytes left, as each string takes at least one.
func (d *decoder) strings() []string {
	n := d.uint()
	if n > uint64(len(d.buf)) {
		d.fail(errShort)
		return nil
	}
	var l []string
	for range n {
		l = append(l, d.string())
	}
	return l
}

func (d *decoder) end() error {
	if d.err == nil && len(d.buf) != 0 {
		d.fail(errors.New("bytes left over"))
	}
	return d.err
}
