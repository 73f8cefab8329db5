package wire

import (
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// Field numbers of plug.proto.
const (
	upItems    = 1
	itemFrames = 3
	columns    = 5 // of Frames: track, pos, arrived, size, payload
)

// ErrFrames means that the columns of Frames do not belong together.
var ErrFrames = errors.New("frames whose columns differ in length")

// Message is a received Up, read in place: its frames cost no copy and no object. It
// may be received into again and again.
type Message struct{ b []byte }

// Each hands on the items in order, until one fails. The frames are valid until the
// next message.
func (m *Message) Each(frames func(*Frames) error, other func(*plugv1.Item) error) error {
	for b := m.b; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if num == upItems && typ == protowire.BytesType {
			item, _ := protowire.ConsumeBytes(b)
			if err := each(item, frames, other); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

func each(b []byte, frames func(*Frames) error, other func(*plugv1.Item) error) error {
	var f Frames
	if f.scanItem(b) {
		return frames(&f)
	}
	var item plugv1.Item
	if err := proto.Unmarshal(b, &item); err != nil {
		return err
	}
	if item.GetFrames() == nil {
		return other(&item)
	}
	// Written in a way that ours never is, such as a list in two parts.
	b, err := proto.Marshal(item.GetFrames())
	if err != nil || !f.scan(b) {
		return errors.Join(ErrFrames, err)
	}
	return frames(&f)
}

// Frames are the frames of one item, taken out with Next.
type Frames struct{ column [columns + 1][]byte }

// Frame is one of them.
type Frame struct {
	Track   uint64
	Pos     int64
	Arrived int64 // Nanos
	Payload []byte
}

// scanItem reads an Item that is nothing but Frames.
func (f *Frames) scanItem(b []byte) bool {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != itemFrames || typ != protowire.BytesType {
		return false
	}
	v, k := protowire.ConsumeBytes(b[n:])
	return k >= 0 && n+k == len(b) && f.scan(v)
}

// scan finds the columns, each in one piece.
func (f *Frames) scan(b []byte) bool {
	*f = Frames{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return false
		}
		if num <= columns {
			v, k := protowire.ConsumeBytes(b)
			if typ != protowire.BytesType || k < 0 || f.column[num] != nil {
				return false
			}
			f.column[num] = v
		}
		b = b[n:]
	}
	return true
}

// Next takes the next frame out. It returns false after the last, and fails with
// ErrFrames.
func (f *Frames) Next(fr *Frame) (bool, error) {
	track, pos, arrived, size := &f.column[1], &f.column[2], &f.column[3], &f.column[4]
	if len(*track) == 0 {
		if len(*pos)+len(*arrived)+len(*size) > 0 {
			return false, ErrFrames
		}
		return false, nil
	}
	number, ok := varint(track)
	at, ok2 := varint(pos)
	length, ok3 := varint(size)
	n, payload := int64(uint32(length)), f.column[columns]
	if !ok || !ok2 || !ok3 || len(*arrived) < 8 || n > int64(len(payload)) {
		return false, ErrFrames
	}
	fr.Track, fr.Pos = number, int64(at)
	fr.Arrived = int64(binary.LittleEndian.Uint64(*arrived))
	*arrived = (*arrived)[8:]
	fr.Payload, f.column[columns] = payload[:n:n], payload[n:]
	return true, nil
}

// varint takes a number out of a column.
func varint(b *[]byte) (uint64, bool) {
	v, n := protowire.ConsumeVarint(*b)
	if n < 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return v, true
}
