package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// WAV is a decoded RIFF/WAVE recording: one slice of 16-bit samples a channel,
// all of the same length.
type WAV struct {
	Rate     int
	Channels [][]int16
}

// ErrWAV means that a file is not a WAV file of a kind that ReadWAV reads.
var ErrWAV = errors.New("media: not a usable WAV file")

// MaxWAVBytes bounds the audio that ReadWAV takes: an hour of stereo at 8 kHz is 115 MB.
const MaxWAVBytes = 256 << 20

const (
	wavPCM   = 1
	wavALaw  = 6
	wavMuLaw = 7
)

// ReadWAV reads 16-bit PCM, mu-law or A-law with one or more channels, and
// skips chunks that it does not know. It fails with ErrWAV for anything else.
func ReadWAV(r io.Reader) (WAV, error) {
	var riff [12]byte
	if _, err := io.ReadFull(r, riff[:]); err != nil || string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return WAV{}, fmt.Errorf("%w: no RIFF/WAVE header", ErrWAV)
	}
	var w WAV
	var encoding Encoding
	channels := 0
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return WAV{}, fmt.Errorf("%w: no data chunk", ErrWAV)
		}
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "fmt ":
			var err error
			if encoding, channels, w.Rate, err = readWAVFormat(r, size); err != nil {
				return WAV{}, err
			}
		case "data":
			if channels == 0 {
				return WAV{}, fmt.Errorf("%w: data before format", ErrWAV)
			}
			// A writer that could not seek leaves the size at its maximum; the end of the file decides.
			data, err := io.ReadAll(io.LimitReader(r, min(size, MaxWAVBytes)))
			if err != nil {
				return WAV{}, fmt.Errorf("media: read WAV: %w", err)
			}
			w.Channels = deinterleave(AppendLinear(nil, encoding, data), channels)
			return w, nil
		default:
			if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
				return WAV{}, fmt.Errorf("%w: truncated %q chunk", ErrWAV, head[:4])
			}
		}
	}
}

func readWAVFormat(r io.Reader, size int64) (e Encoding, channels, rate int, err error) {
	if size < 16 || size > 1024 {
		return 0, 0, 0, fmt.Errorf("%w: format chunk of %d bytes", ErrWAV, size)
	}
	b := make([]byte, size+size%2)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, 0, 0, fmt.Errorf("%w: truncated format chunk", ErrWAV)
	}
	tag, bits := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[14:])
	if tag == 0xFFFE && size >= 26 { // WAVE_FORMAT_EXTENSIBLE keeps the tag in the sub-format
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	channels, rate = int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint32(b[4:]))
	switch {
	case tag == wavPCM && bits == 16:
		e = Linear16
	case tag == wavMuLaw && bits == 8:
		e = MuLaw
	case tag == wavALaw && bits == 8:
		e = ALaw
	default:
		return 0, 0, 0, fmt.Errorf("%w: encoding %d with %d bits; want 16-bit PCM, mu-law or A-law", ErrWAV, tag, bits)
	}
	if channels < 1 || channels > 16 || rate < MinRate || rate > MaxRate {
		return 0, 0, 0, fmt.Errorf("%w: %d channels at %d Hz", ErrWAV, channels, rate)
	}
	return e, channels, rate, nil
}

func deinterleave(samples []int16, channels int) [][]int16 {
	out := make([][]int16, channels)
	n := len(samples) / channels
	for c := range out {
		out[c] = make([]int16, n)
		for i := range n {
			out[c][i] = samples[i*channels+c]
		}
	}
	return out
}

// WriteWAV writes w in encoding e. Channels that are shorter than the longest
// end in silence.
func WriteWAV(out io.Writer, w WAV, e Encoding) error {
	f := Format{Encoding: e, Rate: w.Rate}
	if err := f.Validate(); err != nil {
		return err
	}
	if len(w.Channels) == 0 {
		return fmt.Errorf("%w: no channels", ErrWAV)
	}
	n := 0
	for _, c := range w.Channels {
		n = max(n, len(c))
	}
	channels, sample := len(w.Channels), f.SampleBytes()
	mixed := make([]int16, n*channels)
	for c, samples := range w.Channels {
		for i, s := range samples {
			mixed[i*channels+c] = s
		}
	}
	tag := map[Encoding]uint16{Linear16: wavPCM, ALaw: wavALaw, MuLaw: wavMuLaw}[e]
	size := len(mixed) * sample
	b := append(make([]byte, 0, 46+size), "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(38+size+size%2))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 18) // with the empty extension that non-PCM needs
	b = binary.LittleEndian.AppendUint16(b, tag)
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(w.Rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(w.Rate*channels*sample))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*sample))
	b = binary.LittleEndian.AppendUint16(b, uint16(8*sample))
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = AppendEncoded(b, e, mixed)
	if size%2 == 1 {
		b = append(b, 0)
	}
	if _, err := out.Write(b); err != nil {
		return fmt.Errorf("media: write WAV: %w", err)
	}
	return nil
}
