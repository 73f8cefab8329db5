package assist

import (
	"bytes"
	"testing"

	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"google.golang.org/protobuf/proto"
)

// TestAudioCodec compares our encoding with that of the generated code, again and
// again, since buffers come back.
func TestAudioCodec(t *testing.T) {
	for i, n := range []int{800, 0, 1, 9600, 127, 128, 800} {
		audio := audioMessage(bytes.Repeat([]byte{byte(i)}, n))
		got, err := analyzeCodec.Marshal(&audio)
		if err != nil {
			t.Fatal(err)
		}
		want, err := proto.Marshal(&dialogflowpb.StreamingAnalyzeContentRequest{
			Input: &dialogflowpb.StreamingAnalyzeContentRequest_InputAudio{InputAudio: audio},
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Materialize(), want) {
			t.Errorf("%d bytes of audio are not encoded as protobuf does", n)
		}
		got.Free()
	}
}

func BenchmarkAudioCodec(b *testing.B) {
	audio := audioMessage(make([]byte, 800))
	b.ReportAllocs()
	for b.Loop() {
		data, err := analyzeCodec.Marshal(&audio)
		if err != nil {
			b.Fatal(err)
		}
		data.Free()
	}
}
