package sim

import (
	_ "embed" // recorded Opus packets
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// payloadTypes are the formats that the systems offer, by the payload numbers that they
// give them. Rate is that of the audio; RTP counts in Clock.
var payloadTypes = map[int]payloadType{
	0:   {Name: "PCMU", Clock: 8000, Rate: 8000},
	2:   {Name: "G721", Clock: 8000},
	3:   {Name: "GSM", Clock: 8000},
	8:   {Name: "PCMA", Clock: 8000, Rate: 8000},
	9:   {Name: "G722", Clock: 8000, Rate: 16000},
	13:  {Name: "CN", Clock: 8000},
	18:  {Name: "G729", Clock: 8000, Format: "annexb=no"},
	19:  {Name: "CN", Clock: 8000},
	100: {Name: "telephone-event", Clock: 48000, Format: "0-15"},
	101: {Name: "telephone-event", Clock: 8000, Format: "0-15"},
	111: {Name: "opus", Clock: 48000, Rate: 16000, Channels: 2, Format: "useinbandfec=1"},
}

// payloadType is what a payload number stands for.
type payloadType struct {
	Name     string
	Clock    int
	Rate     int // 0 for what this client cannot send
	Channels int
	Format   string // fmtp
}

func (t payloadType) rtpmap() string {
	if t.Channels > 1 {
		return fmt.Sprintf("%s/%d/%d", t.Name, t.Clock, t.Channels)
	}
	return fmt.Sprintf("%s/%d", t.Name, t.Clock)
}

// codecs are the payload numbers by the names of Options.Codec.
var codecs = map[string]int{"pcmu": 0, "pcma": 8, "g722": 9, "opus": 111}

// encoder turns samples into payloads of one packet.
type encoder interface {
	encode(dst []byte, samples []int16) []byte
}

type g711Encoder media.Encoding

func (e g711Encoder) encode(dst []byte, samples []int16) []byte {
	return media.AppendEncoded(dst, media.Encoding(e), samples)
}

//go:embed opus/customer.bin
var opusCustomer []byte

//go:embed opus/agent.bin
var opusAgent []byte

// OpusWords are what calls say with Opus, whatever else they should: there is no encoder
// here, so the packets are recorded. They come from the tone words of package probe at
// 16 kHz, encoded by libopus with 24 kbit/s in packets of 20 ms.
var OpusWords = map[Speaker][]string{Customer: {"amber", "basil"}, Agent: {"cedar", "delta"}}

// opusPackets plays recorded packets again and again.
type opusPackets struct {
	packets [][]byte
	n       int
}

func newOpusPackets(who Speaker) *opusPackets {
	b := opusAgent
	if who == Customer {
		b = opusCustomer
	}
	o := &opusPackets{}
	for len(b) > 2 {
		n := int(binary.BigEndian.Uint16(b))
		o.packets, b = append(o.packets, b[2:2+n]), b[2+n:]
	}
	return o
}

func (o *opusPackets) encode(dst []byte, _ []int16) []byte {
	p := o.packets[o.n%len(o.packets)]
	o.n++
	return append(dst, p...)
}

// newEncoder returns the encoder of a payload type.
func newEncoder(t payloadType, who Speaker, ptime time.Duration) (encoder, error) {
	switch strings.ToUpper(t.Name) {
	case "PCMU":
		return g711Encoder(media.MuLaw), nil
	case "PCMA":
		return g711Encoder(media.ALaw), nil
	case "G722":
		return newG722Encoder(), nil
	case "OPUS":
		if ptime != blockTime {
			return nil, fmt.Errorf("%w: the Opus packets last %v, not %v", ErrCodec, blockTime, ptime)
		}
		return newOpusPackets(who), nil
	}
	return nil, fmt.Errorf("%w: nothing here encodes %s", ErrCodec, t.Name)
}
