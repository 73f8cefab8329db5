package assist

import (
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers gRPC's own codec
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// audioMessage is a StreamingAnalyzeContentRequest that holds nothing but audio: the
// same bytes, without a message object and its way through reflection.
type audioMessage []byte

// inputAudio is the number of StreamingAnalyzeContentRequest.input_audio.
const inputAudio = 5

// audioCodec is gRPC's codec for protobuf, which also takes *audioMessage.
type audioCodec struct{ encoding.CodecV2 }

var analyzeCodec = audioCodec{encoding.GetCodecV2("proto")}

// Name implements encoding.CodecV2. An empty one leaves the content type as it is
// without a codec of ours.
func (audioCodec) Name() string { return "" }

// Marshal implements encoding.CodecV2.
func (c audioCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*audioMessage)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	buf := chunkBuffers.Get(protowire.SizeTag(inputAudio) + protowire.SizeBytes(len(*m)))
	*buf = protowire.AppendBytes(protowire.AppendTag((*buf)[:0], inputAudio, protowire.BytesType), *m)
	return mem.BufferSlice{mem.NewBuffer(buf, &chunkBuffers)}, nil
}

// chunkBuffers holds messages that gRPC has written.
var chunkBuffers bufferPool

// bufferPool is a mem.BufferPool of small buffers, which it does not clear.
type bufferPool struct{ free sync.Pool }

// recycled is the least size of a buffer: gRPC does not give back what is no larger
// than 1 KB.
const recycled = 1280

// Get implements mem.BufferPool.
func (p *bufferPool) Get(n int) *[]byte {
	if buf, ok := p.free.Get().(*[]byte); ok && cap(*buf) >= n {
		*buf = (*buf)[:n]
		return buf
	}
	buf := make([]byte, max(n, recycled))[:n]
	return &buf
}

// Put implements mem.BufferPool.
func (p *bufferPool) Put(buf *[]byte) { p.free.Put(buf) }
