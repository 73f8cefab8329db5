package receiver

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

// ffmpeg runs an independent sender or decoder. Without it tests are skipped, but not in CI.
func ffmpeg(t *testing.T, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ffmpeg is needed: ", err)
		}
		t.Skip("ffmpeg is not installed: nothing is received from an independent sender")
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", append([]string{"-hide_banner", "-loglevel", "error", "-nostdin"}, args...)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, stderr.String())
	}
	return out.Bytes()
}

// voice is two seconds of something that is not the same twice.
var voice = []string{"-f", "lavfi", "-i", "aevalsrc='0.4*sin(2*PI*(200+300*t)*t)*(1-0.5*sin(2*PI*3*t))':d=2"}

// TestFFmpeg receives what ffmpeg sends, and compares it with what ffmpeg says it is.
func TestFFmpeg(t *testing.T) {
	key := func(s Suite) *Keys {
		k := newKey(t, s)
		return &Keys{Suite: s, Sender: []MasterKey{k}, Own: k}
	}
	mulaw := []string{"-ar", "8000", "-ac", "1", "-c:a", "pcm_mulaw"}
	wide := []string{"-ar", "16000", "-ac", "1", "-c:a", "g722"}
	for name, test := range map[string]struct {
		codec  []string
		plain  []string // how ffmpeg decodes it itself; nil where codec is raw already
		format media.Format
		keys   *Keys
		exact  bool
	}{
		"PCMU": {mulaw, nil, media.Telephony, nil, true},
		"PCMA": {[]string{"-ar", "8000", "-ac", "1", "-c:a", "pcm_alaw"}, nil, media.Format{Encoding: media.ALaw, Rate: 8000}, nil, true},
		"G722": {wide, []string{"g722"}, media.Format{Encoding: media.Linear16, Rate: wideband}, nil, true},
		"Opus": {[]string{"-ar", "48000", "-ac", "1", "-c:a", "libopus", "-application", "voip", "-b:a", "32k", "-payload_type", "111"}, []string{"ogg"},
			media.Format{Encoding: media.Linear16, Rate: wideband}, nil, false},
		string(AES128CMSHA1_80): {mulaw, nil, media.Telephony, key(AES128CMSHA1_80), true},
		string(AES128CMSHA1_32): {mulaw, nil, media.Telephony, key(AES128CMSHA1_32), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []byte
			switch {
			case test.plain == nil:
				format := map[media.Encoding]string{media.MuLaw: "mulaw", media.ALaw: "alaw"}[test.format.Encoding]
				want = ffmpeg(t, slices.Concat(voice, test.codec, []string{"-f", format, "-"})...)
			default:
				coded := t.TempDir() + "/coded"
				ffmpeg(t, slices.Concat(voice, test.codec[:len(test.codec)-2*b2i(!test.exact)], []string{"-f", test.plain[0], coded})...)
				want = ffmpeg(t, "-f", test.plain[0], "-i", coded, "-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le", "-f", "s16le", "-")
			}
			r, err := New(Config{Bind: loopback}, nil, func(kind string) { t.Log("counted ", kind) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			out := newLive()
			s, err := r.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			m := local(loopback)
			m.Keys = test.keys
			if err := s.Accept(m); err != nil {
				t.Fatal(err)
			}
			size := 172 // 20 ms
			if !test.exact {
				size = 1200
			}
			to := []string{"-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d?pkt_size=%d", s.Port(), size)}
			if k := test.keys; k != nil {
				inline := base64.StdEncoding.EncodeToString(append(slices.Clone(k.Sender[0].Key), k.Sender[0].Salt...))
				to = []string{"-f", "rtp", "-srtp_out_suite", suiteOf[k.Suite], "-srtp_out_params", inline, fmt.Sprintf("srtp://127.0.0.1:%d?pkt_size=%d", s.Port(), size+18)}
			}
			ffmpeg(t, slices.Concat([]string{"-re"}, voice, test.codec, to)...)
			deadline := time.Now().Add(5 * time.Second)
			for s.Stats().Packets == 0 && time.Now().Before(deadline) {
				out.next(t)
			}
			s.Close()

			segment := out.rec.only(t)
			var got []byte
			for _, f := range segment.frames {
				got = append(got, f.Payload...)
			}
			if segment.format != test.format || segment.gaps != nil {
				t.Errorf("format %v, gaps %v", segment.format, segment.gaps)
			}
			stats := s.Stats()
			if stats.Lost != 0 || stats.BadAuth != 0 || stats.Malformed != 0 || stats.Reports == 0 || stats.Secured != (test.keys != nil) {
				t.Errorf("stats %+v", stats)
			}
			if len(got) < len(want)*9/10 {
				t.Fatalf("%d bytes; want about %d", len(got), len(want))
			}
			if n := min(len(got), len(want)); test.exact && !bytes.Equal(got[:n], want[:n]) {
				t.Error("the audio is not what ffmpeg says it sent")
			}
			if !test.exact {
				if snr := likeness(got, want); snr < 30 {
					t.Errorf("the audio is like ffmpeg's by %.1f dB; want 30", snr)
				}
			}
		})
	}
}

// suiteOf is what ffmpeg calls the suites. Under its own name the second has a tag of four
// bytes in RTCP too, which is not what RFC 4568 §6.2 says.
var suiteOf = map[Suite]string{AES128CMSHA1_80: "AES_CM_128_HMAC_SHA1_80", AES128CMSHA1_32: "SRTP_AES128_CM_HMAC_SHA1_32"}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// likeness is the ratio of signal to difference of 16-bit samples in dB, at the shift of
// up to 20 ms that makes it best.
func likeness(got, want []byte) float64 {
	best := math.Inf(-1)
	for shift := range 320 {
		var signal, difference float64
		for i := 0; i+2 <= len(want) && i+2*shift+2 <= len(got); i += 2 {
			w := float64(int16(binary.LittleEndian.Uint16(want[i:])))
			g := float64(int16(binary.LittleEndian.Uint16(got[i+2*shift:])))
			signal += w * w
			difference += (w - g) * (w - g)
		}
		if signal > 0 {
			best = max(best, 10*math.Log10(signal/(difference+1)))
		}
	}
	return best
}
