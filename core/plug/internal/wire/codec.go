package wire

import (
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers gRPC's own codec
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	plugv1 "github.com/patchbay/patchbay/core/plug/proto/patchbay/plug/v1"
)

// Codec is gRPC's codec for protobuf with a shorter way for Up: the same bytes, but
// encoded into buffers that nobody clears first, and read in place as a Message.
type Codec struct{ encoding.CodecV2 }

// NewCodec returns the codec of both ends.
func NewCodec() Codec { return Codec{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	up, ok := v.(*plugv1.Up)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	buf := buffers.Get(proto.Size(up))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend((*buf)[:0], up)
	if err != nil {
		buffers.Put(buf)
		return nil, err
	}
	*buf = b
	return mem.BufferSlice{mem.NewBuffer(buf, &buffers)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if n := data.Len(); n <= cap(m.b) {
		m.b = m.b[:n]
	} else {
		m.b = make([]byte, n)
	}
	data.CopyTo(m.b)
	return nil
}

// buffers holds what gRPC has written.
var buffers pool

// pool is a mem.BufferPool that does not clear. A session has a message or two under
// way, of about the same size.
type pool struct{ free sync.Pool }

// Get implements mem.BufferPool.
func (p *pool) Get(n int) *[]byte {
	if buf, ok := p.free.Get().(*[]byte); ok && cap(*buf) >= n {
		*buf = (*buf)[:n]
		return buf
	}
	buf := make([]byte, n, n+n/2)
	return &buf
}

// Put implements mem.BufferPool.
func (p *pool) Put(buf *[]byte) {
	if cap(*buf) <= MaxBatchBytes {
		p.free.Put(buf)
	}
}
