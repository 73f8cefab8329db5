package receiver

import (
	"errors"

	"github.com/patchbay/patchbay/adapters/oem/receiver/g722"
	"github.com/patchbay/patchbay/core/media"
	"github.com/pion/opus"
)

// The rate at which wideband codecs are handed on.
const wideband = 16000

// maxPacket is the longest audio of one packet that is believed, in milliseconds: longer
// payloads are not what they say.
const maxPacket = 200

var errPayload = errors.New("receiver: payload is not of its codec")

// decoder turns the payloads of one source into samples.
type decoder struct {
	codec  Codec
	format media.Format
	g722   *g722.Decoder
	opus   *opus.Decoder
	pcm    []int16
	bytes  []byte
}

// use prepares for payloads of c.
func (d *decoder) use(c Codec) {
	if d.codec == c {
		return
	}
	*d = decoder{codec: c, format: media.Format{Encoding: media.Linear16, Rate: wideband}}
	switch c {
	case PCMU:
		d.format = media.Telephony
	case PCMA:
		d.format = media.Format{Encoding: media.ALaw, Rate: 8000}
	case G722:
		d.g722 = g722.NewDecoder()
	case Opus:
		d.resetOpus()
	}
}

func (d *decoder) resetOpus() {
	if o, err := opus.NewDecoderWithOutput(wideband, 1); err == nil {
		d.opus = &o
	}
}

// decodeOpus fills pcm. The decoder is young, and it reads what strangers send: should it
// panic, that costs a packet and not all calls of the process.
func (d *decoder) decodeOpus(payload []byte) (n int, err error) {
	defer func() {
		if recover() != nil {
			d.resetOpus()
			n, err = 0, errPayload
		}
	}()
	return d.opus.DecodeToInt16(payload, d.pcm)
}

// decode returns the n samples of a payload, valid until the next call.
func (d *decoder) decode(payload []byte, n int) ([]byte, error) {
	switch {
	case d.codec == PCMU, d.codec == PCMA:
		return payload, nil
	case d.g722 != nil:
		d.pcm = d.g722.Append(d.pcm[:0], payload)
	case d.opus != nil:
		if cap(d.pcm) < n {
			d.pcm = make([]int16, n)
		}
		d.pcm = d.pcm[:n]
		if got, err := d.decodeOpus(payload); err != nil || got != n {
			return nil, errPayload
		}
	default:
		return nil, errPayload
	}
	d.bytes = media.AppendEncoded(d.bytes[:0], media.Linear16, d.pcm)
	return d.bytes, nil
}

// samples returns how many samples a payload holds once it is decoded; 0 for a silence
// that the codec announces. It reports false for a payload that cannot be c's.
func samples(c Codec, payload []byte) (n int, ok bool) {
	switch c {
	case PCMU, PCMA:
		return len(payload), len(payload) <= maxPacket*8
	case G722:
		return len(payload) * 2, len(payload) <= maxPacket*8
	case Opus:
		return opusSamples(payload)
	}
	return 0, false
}

// opusSamples reads the first bytes of an Opus packet (RFC 6716 §3.1). Packets of no more
// than two bytes are its discontinuous transmission (RFC 7587 §3.1.3).
func opusSamples(payload []byte) (n int, ok bool) {
	if len(payload) <= 2 {
		return 0, true
	}
	toc := payload[0]
	var frame int // in samples at 16 kHz
	switch config := toc >> 3; {
	case config < 12:
		frame = [4]int{160, 320, 640, 960}[config&3]
	case config < 16:
		frame = [2]int{160, 320}[config&1]
	default:
		frame = [4]int{40, 80, 160, 320}[config&3]
	}
	frames := 2
	switch toc & 3 {
	case 0:
		frames = 1
	case 3:
		frames = int(payload[1] & 0x3F)
	}
	n = frame * frames
	return n, n > 0 && n <= wideband*120/1000
}
