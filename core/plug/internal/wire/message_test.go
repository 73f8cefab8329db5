package wire

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/google/go-cmp/cmp"

	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

func framesItem(f *plugv1.Frames) *plugv1.Item {
	return &plugv1.Item{Item: &plugv1.Item_Frames{Frames: f}}
}

func twoFrames() *plugv1.Frames {
	return &plugv1.Frames{Track: []uint64{2, 300}, Pos: []int64{0, -3}, Arrived: []int64{1, -2}, Size: []uint32{3, 1}, Payload: []byte("abcd")}
}

// read walks b and returns what it found as a message of the generated code.
func read(b []byte) (*plugv1.Up, error) {
	var m Message
	if err := NewCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, &m); err != nil {
		return nil, err
	}
	up := &plugv1.Up{}
	err := m.Each(func(f *Frames) error {
		out := &plugv1.Frames{}
		up.Items = append(up.Items, framesItem(out))
		for fr := (Frame{}); ; {
			if more, err := f.Next(&fr); !more {
				return err
			}
			out.Track, out.Pos = append(out.Track, fr.Track), append(out.Pos, fr.Pos)
			out.Arrived, out.Size = append(out.Arrived, fr.Arrived), append(out.Size, uint32(len(fr.Payload)))
			out.Payload = append(out.Payload, fr.Payload...)
		}
	}, func(item *plugv1.Item) error {
		up.Items = append(up.Items, item)
		return nil
	})
	return up, err
}

// whole reports whether every run of frames holds together.
func whole(up *plugv1.Up) bool {
	for _, item := range up.GetItems() {
		f := item.GetFrames()
		n, bytes := len(f.GetTrack()), 0
		for _, size := range f.GetSize() {
			bytes += int(size)
		}
		if len(f.GetPos()) != n || len(f.GetArrived()) != n || len(f.GetSize()) != n || bytes > len(f.GetPayload()) {
			return false
		}
		if f != nil {
			f.Payload = f.Payload[:bytes] // more is nobody's
		}
	}
	return true
}

// FuzzMessage reads in place what the generated code reads too: with the same outcome.
func FuzzMessage(f *testing.F) {
	note := &plugv1.Item{Item: &plugv1.Item_Note{Note: &plugv1.Note{Leg: 1, Kind: "dtmf", Text: "1"}}}
	ragged := twoFrames()
	ragged.Pos = ragged.Pos[:1]
	short := twoFrames()
	short.Size[1] = 2
	for _, up := range []*plugv1.Up{
		{}, {Items: []*plugv1.Item{note, framesItem(twoFrames()), note, framesItem(twoFrames())}}, {Items: []*plugv1.Item{{}, framesItem(&plugv1.Frames{})}},
		{Items: []*plugv1.Item{framesItem(ragged)}}, {Items: []*plugv1.Item{framesItem(short)}},
	} {
		b, err := proto.Marshal(up)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(unusual())
	f.Fuzz(func(t *testing.T, b []byte) {
		var want plugv1.Up
		wantErr := proto.Unmarshal(b, &want)
		good := wantErr == nil && whole(&want)
		got, err := read(b)
		if good != (err == nil) {
			t.Fatalf("read = %v; the generated code says %v, frames whole %v", err, wantErr, wantErr == nil && good)
		}
		if d := cmp.Diff(&want, got, protocmp.Transform(), protocmp.IgnoreUnknown()); good && d != "" {
			t.Error(d)
		}
	})
}

// unusual is a run whose lists come in pieces, packed and not, with a field that
// nobody knows, in two parts.
func unusual() []byte {
	var f, g []byte
	f = protowire.AppendVarint(protowire.AppendTag(f, 1, protowire.VarintType), 2)
	f = protowire.AppendBytes(protowire.AppendTag(f, 1, protowire.BytesType), []byte{9})
	f = protowire.AppendBytes(protowire.AppendTag(f, 2, protowire.BytesType), []byte{0, 1})
	f = protowire.AppendFixed64(protowire.AppendTag(f, 3, protowire.Fixed64Type), 1)
	f = protowire.AppendFixed64(protowire.AppendTag(f, 3, protowire.Fixed64Type), 2)
	f = protowire.AppendVarint(protowire.AppendTag(f, 99, protowire.VarintType), 2)
	g = protowire.AppendBytes(protowire.AppendTag(g, 4, protowire.BytesType), []byte{1, 2})
	g = protowire.AppendBytes(protowire.AppendTag(g, 5, protowire.BytesType), []byte("abc"))
	item := protowire.AppendBytes(protowire.AppendTag(nil, itemFrames, protowire.BytesType), f)
	item = protowire.AppendBytes(protowire.AppendTag(item, itemFrames, protowire.BytesType), g)
	return protowire.AppendBytes(protowire.AppendTag(nil, upItems, protowire.BytesType), item)
}

func TestMessageInPieces(t *testing.T) {
	up, err := read(unusual())
	want := &plugv1.Up{Items: []*plugv1.Item{framesItem(&plugv1.Frames{
		Track: []uint64{2, 9}, Pos: []int64{0, 1}, Arrived: []int64{1, 2}, Size: []uint32{1, 2}, Payload: []byte("abc"),
	})}}
	if d := cmp.Diff(want, up, protocmp.Transform()); err != nil || d != "" {
		t.Errorf("err %v\n%s", err, d)
	}
	ragged := twoFrames()
	ragged.Track = ragged.Track[:1]
	b, err := proto.Marshal(&plugv1.Up{Items: []*plugv1.Item{framesItem(ragged)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(b); !errors.Is(err, ErrFrames) {
		t.Errorf("ragged columns: %v; want ErrFrames", err)
	}
}

// TestCodec sends an Up and something else through the codec, both as protobuf has them.
func TestCodec(t *testing.T) {
	c := NewCodec()
	for range 3 { // buffers come again
		for _, m := range []proto.Message{&plugv1.Up{Items: []*plugv1.Item{framesItem(twoFrames())}}, &plugv1.Down{Item: &plugv1.Down_Admitted{Admitted: &plugv1.Admitted{Leg: 5}}}} {
			data, err := c.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			back := m.ProtoReflect().New().Interface()
			if err := c.Unmarshal(data, back); err != nil {
				t.Fatal(err)
			}
			data.Free()
			if d := cmp.Diff(m, back, protocmp.Transform()); d != "" {
				t.Error(d)
			}
		}
	}
}

// BenchmarkBatch encodes and reads 5 ms of 300 calls, frame by frame.
func BenchmarkBatch(b *testing.B) {
	f := &plugv1.Frames{}
	for i := range 150 {
		f.Track, f.Pos = append(f.Track, uint64(i)), append(f.Pos, int64(i)*160_000)
		f.Arrived, f.Size = append(f.Arrived, time.Now().UnixNano()), append(f.Size, 160)
		f.Payload = append(f.Payload, make([]byte, 160)...)
	}
	up := &plugv1.Up{Items: []*plugv1.Item{framesItem(f)}}
	c, m, n := NewCodec(), &Message{}, 0
	b.ReportAllocs()
	for b.Loop() {
		data, err := c.Marshal(up)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Unmarshal(data, m); err != nil {
			b.Fatal(err)
		}
		data.Free()
		err = m.Each(func(f *Frames) error {
			for fr := (Frame{}); ; n++ {
				if more, err := f.Next(&fr); !more {
					return err
				}
			}
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
	}
	if n < 150 {
		b.Fatal("no frames")
	}
}
