// Package media holds the values of telephony audio: frames, formats, G.711
// and WAV. It owns no connection and no clock; everything here is a pure value
// or a pure function, so every other package may use it.
package media

import (
	"errors"
	"fmt"
	"time"
)

// TrackID names a track within its leg, in the vendor's words ("inbound",
// "outbound", a SIPREC label).
type TrackID string

// Frame is a run of consecutive samples from one track, usually one ptime long.
type Frame struct {
	Track   TrackID
	Pos     int64     // index of the first sample since the segment began; an unexplained jump is lost audio
	Arrived time.Time // local clock at receipt: maps the track to the call's clock, never orders its frames
	Payload []byte    // whole samples in the segment's encoding; valid only until the call returns
}

// Encoding says how samples are stored in a payload.
type Encoding uint8

// The encodings that a tape takes. The names are those of Agent Assist and RTP:
// PCMU, PCMA and L16 with the byte order of WAV and of Google's LINEAR_16.
const (
	EncodingUnknown Encoding = iota
	MuLaw                    // G.711 mu-law, one byte a sample
	ALaw                     // G.711 A-law, one byte a sample
	Linear16                 // signed 16 bit, little endian
)

var encodingNames = [...]string{EncodingUnknown: "unknown", MuLaw: "mulaw", ALaw: "alaw", Linear16: "linear16"}

func (e Encoding) String() string {
	if int(e) < len(encodingNames) {
		return encodingNames[e]
	}
	return fmt.Sprintf("encoding(%d)", uint8(e))
}

// Format is what a payload's bytes mean. All audio is mono.
type Format struct {
	Encoding Encoding
	Rate     int // samples per second
}

// Telephony is mu-law at 8 kHz, the format of most vendors.
var Telephony = Format{Encoding: MuLaw, Rate: 8000}

// MinRate and MaxRate bound Format.Rate: narrow-band telephony to studio audio.
const (
	MinRate = 8000
	MaxRate = 48000
)

// ErrFormat means that a format names no encoding or an impossible rate.
var ErrFormat = errors.New("media: unusable audio format")

// Validate fails with ErrFormat for an unknown encoding or a rate outside
// MinRate to MaxRate.
func (f Format) Validate() error {
	if f.Encoding < MuLaw || f.Encoding > Linear16 {
		return fmt.Errorf("%w: encoding %v", ErrFormat, f.Encoding)
	}
	if f.Rate < MinRate || f.Rate > MaxRate {
		return fmt.Errorf("%w: %d samples per second; want %d to %d", ErrFormat, f.Rate, MinRate, MaxRate)
	}
	return nil
}

func (f Format) String() string { return fmt.Sprintf("%v/%d", f.Encoding, f.Rate) }

// SampleBytes returns the bytes of one sample: 2 for Linear16, else 1.
func (f Format) SampleBytes() int {
	if f.Encoding == Linear16 {
		return 2
	}
	return 1
}

// Samples returns how many whole samples n bytes hold.
func (f Format) Samples(n int) int64 { return int64(n / f.SampleBytes()) }

// Bytes returns the bytes of n samples.
func (f Format) Bytes(n int64) int64 { return n * int64(f.SampleBytes()) }

// Duration returns how long n samples last.
func (f Format) Duration(n int64) time.Duration {
	if f.Rate <= 0 {
		return 0
	}
	rate := int64(f.Rate)
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}

// SamplesIn returns how many samples d lasts, rounded down.
func (f Format) SamplesIn(d time.Duration) int64 {
	rate := int64(f.Rate)
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}

// Silence returns the byte that a silent payload consists of.
func (f Format) Silence() byte {
	switch f.Encoding {
	case MuLaw:
		return 0xFF
	case ALaw:
		return 0xD5
	default:
		return 0
	}
}

// ErrPtime means that a packet length does not hold a whole number of samples.
var ErrPtime = errors.New("media: ptime is not a whole number of samples")

// SamplesPerPacket returns how many samples one packet of length ptime holds at
// rate hertz: 160 for 20 ms at 8 kHz. It fails with ErrPtime when that is not a
// whole, positive number. For G.722 pass 16000: its RTP clock says 8000 for
// historical reasons, yet it samples at 16 kHz (RFC 3551 §4.5.2).
func SamplesPerPacket(rate int, ptime time.Duration) (int, error) {
	n := int64(rate) * int64(ptime)
	if rate <= 0 || ptime <= 0 || n%int64(time.Second) != 0 {
		return 0, fmt.Errorf("%w: %v at %d Hz", ErrPtime, ptime, rate)
	}
	return int(n / int64(time.Second)), nil
}
