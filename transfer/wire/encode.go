package wire

import (
	"encoding/binary"

	"github.com/ipfs/go-cid"
)

func (Hello) kind() Kind    { return KindHello }
func (Want) kind() Kind     { return KindWant }
func (Unwant) kind() Kind   { return KindUnwant }
func (Nodes) kind() Kind    { return KindNodes }
func (Request) kind() Kind  { return KindRequest }
func (Cancel) kind() Kind   { return KindCancel }
func (Blocks) kind() Kind   { return KindBlocks }
func (Info) kind() Kind     { return KindInfo }
func (HaveAll) kind() Kind  { return KindHaveAll }
func (HaveBits) kind() Kind { return KindHaveBits }
func (HaveRuns) kind() Kind { return KindHaveRuns }
func (Node) kind() Kind     { return KindNode }
func (NoNode) kind() Kind   { return KindNoNode }
func (Data) kind() Kind     { return KindData }
func (Choke) kind() Kind    { return KindChoke }
func (Unchoke) kind() Kind  { return KindUnchoke }
func (Peers) kind() Kind    { return KindPeers }
func (Gone) kind() Kind     { return KindGone }
func (Refused) kind() Kind  { return KindRefused }
func (Busy) kind() Kind     { return KindBusy }
func (Block) kind() Kind    { return KindBlock }
func (NoBlock) kind() Kind  { return KindNoBlock }
func (Pace) kind() Kind     { return KindPace }
func (Got) kind() Kind      { return KindGot }
func (Begin) kind() Kind    { return KindBegin }
func (Part) kind() Kind     { return KindPart }
func (Interest) kind() Kind { return KindInterest }
func (Corrupt) kind() Kind  { return KindCorrupt }
func (Offer) kind() Kind    { return KindOffer }

func (m Hello) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, m.MinVersion), m.MaxVersion)
	return binary.BigEndian.AppendUint64(b, m.Features)
}

func (m Want) append(b []byte) []byte {
	return appendCID(u32s(b, m.Handle, m.Flags), m.Root)
}

func (m Unwant) append(b []byte) []byte  { return u32s(b, m.Handle) }
func (m Nodes) append(b []byte) []byte   { return u32s(b, m.Handle, m.From) }
func (m Request) append(b []byte) []byte { return appendRuns(u32s(b, m.Handle), m.Runs) }
func (m Cancel) append(b []byte) []byte  { return appendRuns(u32s(b, m.Handle), m.Runs) }

func (m Blocks) append(b []byte) []byte {
	b = append(u32s(b, m.ID), byte(len(m.CIDs)))
	for _, c := range m.CIDs {
		b = appendCID(b, c)
	}
	return b
}

func (m Info) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(u32s(b, m.Handle, m.Flags, m.Leaves), uint16(len(m.Name)))
	return append(b, m.Name...)
}

func (m HaveAll) append(b []byte) []byte { return u32s(b, m.Handle) }

func (m HaveBits) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(u32s(b, m.Handle, m.First), uint16(len(m.Bits)))
	return append(b, m.Bits...)
}

func (m HaveRuns) append(b []byte) []byte { return appendRuns(u32s(b, m.Handle), m.Runs) }
func (m Node) append(b []byte) []byte     { return append(u32s(b, m.Handle, m.Index), m.Block...) }
func (m NoNode) append(b []byte) []byte   { return u32s(b, m.Handle, m.Index) }
func (m Data) append(b []byte) []byte     { return append(u32s(b, m.Handle, m.Leaf), m.Payload...) }
func (m Choke) append(b []byte) []byte    { return u32s(b, m.Handle) }
func (m Unchoke) append(b []byte) []byte  { return u32s(b, m.Handle) }

func (m Peers) append(b []byte) []byte {
	b = append(u32s(b, m.Handle), byte(len(m.Peers)))
	for _, p := range m.Peers {
		b = append(append(b, byte(len(p.ID))), p.ID...)
		b = append(b, byte(len(p.Addrs)))
		for _, a := range p.Addrs {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(a))), a...)
		}
	}
	return b
}

func (m Gone) append(b []byte) []byte {
	return appendRuns(append(u32s(b, m.Handle), byte(m.Code)), m.Runs)
}

func (m Refused) append(b []byte) []byte { return append(u32s(b, m.Handle), byte(m.Code)) }

func (m Busy) append(b []byte) []byte { return u32s(b, m.Handle, m.RetryMillis) }

func (m Block) append(b []byte) []byte {
	return append(append(u32s(b, m.ID), m.Index), m.Block...)
}

func (m NoBlock) append(b []byte) []byte { return append(u32s(b, m.ID), m.Index, byte(m.Code)) }

func (m Pace) append(b []byte) []byte { return u32s(b, m.Every) }
func (m Got) append(b []byte) []byte  { return binary.BigEndian.AppendUint64(b, m.Total) }

func (m Begin) append(b []byte) []byte { return u32s(b, m.Handle, m.Leaf, m.Size) }
func (m Part) append(b []byte) []byte  { return append(b, m.Payload...) }

func (m Interest) append(b []byte) []byte {
	return binary.BigEndian.AppendUint16(append(u32s(b, m.Handle), m.Flags), m.Load)
}

func (m Corrupt) append(b []byte) []byte { return u32s(b, m.Handle, m.Leaf) }

func (m Offer) append(b []byte) []byte { return u32s(b, m.Handle, m.Bytes) }

func u32s(b []byte, vs ...uint32) []byte {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func appendCID(b []byte, c cid.Cid) []byte {
	return append(append(b, byte(c.ByteLen())), c.KeyString()...)
}

func appendRuns(b []byte, runs []Run) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(runs)))
	for _, r := range runs {
		b = u32s(b, r.First, r.Count)
	}
	return b
}
