package sim

import (
	"fmt"
	"os"
	"time"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

const (
	blockSamples  = 160 // 20 ms at 8 kHz
	blockDuration = 20 * time.Millisecond
)

// Audio is what calls say: block n of 20 ms of mu-law for a track of call number
// call, appended to dst; false at its end.
type Audio func(dst []byte, call int, id media.TrackID, n int) ([]byte, bool)

// CodedStream is the number of the coded stream that a track of a call carries.
func CodedStream(call int, id media.TrackID) uint16 {
	if id == Outbound {
		return uint16(call*2 + 1)
	}
	return uint16(call * 2)
}

// Coded is audio whose every block carries its number (package probe). It does
// not end.
func Coded() Audio {
	return func(dst []byte, call int, id media.TrackID, n int) ([]byte, bool) {
		return probe.AppendBlock(dst, CodedStream(call, id), uint32(n)), true
	}
}

// Tones is audio of tone words, again and again: the first list on the inbound
// track, the second on the outbound. Each list must hold words of probe.Words.
func Tones(inbound, outbound []string) Audio {
	encode := func(words []string) []byte {
		return media.AppendEncoded(nil, media.MuLaw, probe.AppendTones(nil, media.Telephony.Rate, words...))
	}
	return loop(encode(inbound), encode(outbound), true)
}

// WAV is the audio of a recording at 8 kHz: its left channel inbound (the
// customer), its right outbound. Mono leaves outbound silent.
func WAV(path string) (Audio, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	w, err := media.ReadWAV(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if w.Rate != media.Telephony.Rate || len(w.Channels) > 2 {
		return nil, fmt.Errorf("%s: %d channels at %d Hz; Twilio sends 8000 Hz and two tracks: ffmpeg -i in.wav -ar 8000 -ac 2 out.wav", path, len(w.Channels), w.Rate)
	}
	left := media.AppendEncoded(nil, media.MuLaw, w.Channels[0])
	right := make([]byte, len(left))
	for i := range right {
		right[i] = media.Telephony.Silence()
	}
	if len(w.Channels) == 2 {
		right = media.AppendEncoded(nil, media.MuLaw, w.Channels[1])
	}
	return loop(left, right, false), nil
}

// loop cuts audio into blocks; the last one is filled with silence.
func loop(inbound, outbound []byte, again bool) Audio {
	return func(dst []byte, _ int, id media.TrackID, n int) ([]byte, bool) {
		audio := inbound
		if id == Outbound {
			audio = outbound
		}
		if again && len(audio) > 0 {
			for i := range blockSamples {
				dst = append(dst, audio[(n*blockSamples+i)%len(audio)])
			}
			return dst, true
		}
		from := n * blockSamples
		if from >= len(audio) {
			return dst, false
		}
		part := audio[from:min(from+blockSamples, len(audio))]
		dst = append(dst, part...)
		for range blockSamples - len(part) {
			dst = append(dst, media.Telephony.Silence())
		}
		return dst, true
	}
}
