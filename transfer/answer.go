package transfer

import (
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"

	"shoal/transfer/wire"
)

const (
	// sendBytes is the buffer leaves are sent through: small enough to stay in a
	// core's cache between file and socket, and with the muxer's header one frame.
	sendBytes  = 248 << 10
	nodesBytes = 64 << 10 // and small nodes of this, so that leaves get their turn
	maxMisses  = 1024     // leaves that cannot be read before control frames get a turn
)

// step does the next piece of work, if any: a new or ended subscription, else
// nodes, blocks and leaves in turn, so that none of them waits for all of another.
// Called by the writer, as is all of this file.
func (v *server) step() (bool, error) {
	v.mu.Lock()
	fresh, dead := v.fresh, v.dead
	v.fresh, v.dead = nil, nil
	v.mu.Unlock()
	var err error
	for _, sv := range fresh {
		if err = v.answerWant(sv); err != nil {
			break
		}
	}
	for _, sv := range dead {
		v.breakOff(sv)
		v.closeServe(sv)
	}
	if err != nil {
		return true, err
	}
	if len(fresh)+len(dead) > 0 {
		return true, nil
	}
	for range 3 {
		v.turn = (v.turn + 1) % 3
		worked, err := [...]func() (bool, error){v.sendNodes, v.sendBlock, v.sendLeaves}[v.turn]()
		if worked || err != nil {
			return true, err
		}
	}
	return false, nil
}

// answerWant subscribes the peer, then tells what is here. In this order a leaf
// that is verified meanwhile is told twice rather than never.
func (v *server) answerWant(sv *serve) error {
	v.c.e.swarms.subscribe(sv)
	r, err := v.open(sv)
	if err != nil {
		v.refuse(sv, err)
		return nil
	}
	info := wire.Info{Handle: sv.handle, Leaves: uint32(r.Leaves()), Name: wireName(r.Name())}
	if r.Complete() {
		info.Flags |= wire.InfoComplete
	}
	b := wire.Append(nil, info)
	if have := r.Have(); have == nil {
		b = wire.Append(b, wire.HaveAll{Handle: sv.handle})
		if sv.dealt = r.Complete() && !sv.reads; sv.dealt {
			v.c.e.swarms.deal(sv)
		}
	} else {
		b = appendHave(b, sv.handle, have)
		b = v.appendLacks(b, sv, r, have)
	}
	if err := v.c.write(b); err != nil {
		return err
	}
	v.c.e.swarms.introduce(sv)
	return nil
}

// appendHave appends a bitmap as HaveBits frames, leaving out stretches of zeros.
func appendHave(b []byte, handle uint32, have []byte) []byte {
	for first := 0; first < len(have); first += wire.MaxBitsBytes {
		part := have[first:min(first+wire.MaxBitsBytes, len(have))]
		from, to := 0, len(part)
		for to > 0 && part[to-1] == 0 {
			to--
		}
		for from < to && part[from] == 0 {
			from++
		}
		if from < to {
			b = wire.Append(b, wire.HaveBits{Handle: handle, First: uint32(8 * (first + from)), Bits: part[from:to]})
		}
	}
	return b
}

// wireName makes a name fit for Info, or empty.
func wireName(name string) string {
	if len(name) > wire.MaxName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return ""
	}
	return name
}

// open returns the root of sv, opened again if it had been idle.
func (v *server) open(sv *serve) (Root, error) {
	sv.used = time.Now()
	if sv.r != nil {
		return sv.r, nil
	}
	r, err := v.c.e.src.OpenRoot(sv.root)
	if err != nil {
		return nil, err
	}
	sv.r, sv.served, sv.leaves = r, true, r.Leaves()
	return r, nil
}

// refuse ends a subscription whose root cannot be read.
func (v *server) refuse(sv *serve, err error) {
	if !errors.Is(err, ErrNotFound) {
		v.c.e.log.Warn("cannot serve root", "root", sv.root, "err", err)
	}
	v.c.send(wire.Refused{Handle: sv.handle, Code: codeOf(err)})
	v.end(sv.handle)
}

func (v *server) closeServe(sv *serve) {
	v.c.e.swarms.unsubscribe(sv)
	v.closeRoot(sv)
}

func (v *server) closeRoot(sv *serve) {
	if sv.r == nil {
		return
	}
	if err := sv.r.Close(); err != nil {
		v.c.e.log.Warn("cannot close root", "root", sv.root, "err", err)
	}
	sv.r = nil
}

// rest gives the buffer back while there is nothing to do.
func (v *server) rest() {
	v.c.e.bufs.put(v.buf)
	v.buf = nil
}

// closeIdle closes roots nobody has read from lately; the subscriptions stay.
func (v *server) closeIdle(now time.Time) {
	v.mu.Lock()
	var idle []*serve
	for _, sv := range v.serves {
		if len(sv.reqs) == 0 && now.Sub(sv.used) >= v.c.e.cfg.IdleTimeout {
			idle = append(idle, sv)
		}
	}
	v.mu.Unlock()
	for _, sv := range idle {
		v.closeRoot(sv)
	}
}

// close ends all subscriptions, when the conn has ended.
func (v *server) close() {
	v.rest()
	v.mu.Lock()
	all := v.dead
	for _, sv := range v.serves {
		sv.ended = true
		all = append(all, sv)
	}
	clear(v.serves)
	v.fresh, v.dead, v.ring, v.nodes, v.blocks = nil, nil, nil, nil, nil
	v.mu.Unlock()
	for _, sv := range all {
		v.closeServe(sv)
	}
}

// sendNodes sends some inner nodes of one subscription.
func (v *server) sendNodes() (bool, error) {
	v.mu.Lock()
	if len(v.nodes) == 0 {
		v.mu.Unlock()
		return false, nil
	}
	sv := v.nodes[0]
	v.nodes = v.nodes[1:]
	from, wanted := sv.nextNode, sv.nodes
	v.mu.Unlock()
	if !wanted {
		return true, nil
	}
	r, err := v.open(sv)
	if err != nil {
		v.refuse(sv, err)
		return true, nil
	}
	out, next, more := v.gatherNodes(r, sv.handle, from)

	v.mu.Lock()
	moved := sv.nextNode != from // asked anew meanwhile
	if !moved {
		sv.nextNode = next
	}
	if sv.nodes = sv.nodes && (more || moved); sv.nodes {
		v.nodes = append(v.nodes, sv)
	}
	v.mu.Unlock()
	return true, v.c.write(out)
}

// gatherNodes encodes nodes from index i on, up to nodesBytes or the first
// larger one; more is false when the known nodes have ended.
func (v *server) gatherNodes(r Root, handle, i uint32) (out []byte, next uint32, more bool) {
	for len(out) < nodesBytes {
		block, err := r.Node(int(i))
		if err != nil || len(block) > wire.MaxPayload {
			if err != nil && !errors.Is(err, io.EOF) {
				v.c.e.log.Warn("cannot read inner node", "index", i, "err", err)
			}
			return wire.Append(out, wire.NoNode{Handle: handle, Index: i}), i, false
		}
		out = wire.Append(out, wire.Node{Handle: handle, Index: i, Block: block})
		i++
	}
	return out, i, true
}

// sendBlock answers one CID of a blocks message.
func (v *server) sendBlock() (bool, error) {
	v.mu.Lock()
	if len(v.blocks) == 0 {
		v.mu.Unlock()
		return false, nil
	}
	ask := v.blocks[0]
	v.blocks = v.blocks[1:]
	v.mu.Unlock()
	if err := v.c.charge(1); err != nil {
		return true, err
	}
	if v.buf == nil {
		v.buf = v.c.e.bufs.get(sendBytes)
	}
	block, err := v.c.e.src.Block(ask.c, v.buf.b)
	if err != nil || len(block) > wire.MaxPayload {
		v.c.send(wire.NoBlock{ID: ask.id, Index: ask.index, Code: codeOf(err)})
		return true, nil
	}
	return true, v.c.write(wire.Append(nil, wire.Block{ID: ask.id, Index: ask.index, Block: block}))
}

// leafOf names a leaf of a root.
type leafOf struct {
	root cid.Cid
	leaf uint32
}

// tear is why the sending of a leaf broke off. Until then the leaf is not read
// again: its beginning may be well, and the stream would end each time. Where the
// source itself knows that the leaf is not to be had, or the root, that is said
// at once next time and there is nothing to remember.
type tear struct {
	err   error
	until time.Time
}

const (
	tornFor = 10 * time.Second
	maxTorn = 1024
)

// tore remembers a leaf whose sending broke off.
func (e *Engine) tore(l leafOf, err error, now time.Time) {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNotHave) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.torn) >= maxTorn {
		clear(e.torn)
	}
	e.torn[l] = tear{err, now.Add(tornFor)}
}

// tornErr is why a leaf is not to be sent, if so.
func (e *Engine) tornErr(l leafOf, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.torn[l]
	if ok && !now.Before(t.until) {
		delete(e.torn, l)
		return nil
	}
	return t.err
}

// lose notes a leaf that cannot be sent; behind the root's end, the rest of its
// run too.
func (v *server) lose(sv *serve, leaf uint32, err error) {
	run := wire.Run{First: leaf, Count: 1}
	if sv.r == nil || int64(leaf) >= int64(sv.r.Leaves()) {
		run = v.skipRun(sv, leaf)
	}
	code := codeOf(err)
	v.c.e.swarms.lacks(sv.root, run, sv.leaves)
	if sv.lost == nil {
		sv.lost = make(map[wire.Code][]wire.Run)
		v.lossy = append(v.lossy, sv)
	}
	if code == wire.CodeRead {
		v.c.e.log.Warn("cannot read leaf", "root", sv.root, "leaf", leaf, "err", err)
	}
	if run.Count == 1 {
		sv.lost[code] = addLeaf(sv.lost[code], leaf)
	} else {
		sv.lost[code] = append(sv.lost[code], run)
	}
}

// tellLost sends what lose has noted.
func (v *server) tellLost() {
	for _, sv := range v.lossy {
		for code, runs := range sv.lost {
			for len(runs) > 0 {
				n := min(len(runs), wire.MaxRuns)
				v.c.send(wire.Gone{Handle: sv.handle, Code: code, Runs: runs[:n]})
				runs = runs[n:]
			}
		}
		sv.lost = nil
	}
	v.lossy = v.lossy[:0]
}

// codeOf tells a peer why something is not to be had.
func codeOf(err error) wire.Code {
	switch {
	case errors.Is(err, ErrNotFound):
		return wire.CodeNotFound
	case errors.Is(err, ErrChanged):
		return wire.CodeChanged
	case errors.Is(err, ErrNotHave):
		return wire.CodeNotHave
	case err != nil:
		return wire.CodeRead
	}
	return wire.CodeOther
}
