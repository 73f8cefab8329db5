package hear

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/emulator/recordings"
	"github.com/patchbay/patchbay/core/media"
)

func load(t testing.TB) (*Script, []recordings.Recording) {
	t.Helper()
	list, err := recordings.Load(recordings.FS)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewScript(list)
	if err != nil {
		t.Fatal(err)
	}
	return s, list
}

func channel(t testing.TB, r recordings.Recording, c int) []int16 {
	t.Helper()
	audio, err := r.Audio()
	if err != nil {
		t.Fatal(err)
	}
	return audio.Channels[c]
}

// finals hears samples as a format in 100 ms messages and returns the finals.
func finals(s *Script, f media.Format, language string, samples []int16) []Event {
	var got []Event
	l := s.Listen(f, language)
	audio := media.AppendEncoded(nil, f.Encoding, samples)
	emit := func(e Event) {
		if e.Kind == Final {
			got = append(got, e)
		}
	}
	for step := int(f.Bytes(int64(f.Rate / 10))); len(audio) > 0; audio = audio[min(step, len(audio)):] {
		l.Write(audio[:min(step, len(audio))], emit)
	}
	l.Close(emit)
	return got
}

func texts(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Text())
	}
	return out
}

func said(r recordings.Recording, channel int) (out []string) {
	for _, u := range r.Utterances {
		if u.Channel == channel {
			out = append(out, u.Text())
		}
	}
	return out
}

func double(in []int16) []int16 {
	out := make([]int16, 0, 2*len(in))
	for i, v := range in {
		next := v
		if i+1 < len(in) {
			next = in[i+1]
		}
		out = append(out, v, int16((int(v)+int(next))/2))
	}
	return out
}

func TestScriptWholeCalls(t *testing.T) {
	s, list := load(t)
	for _, r := range list {
		for c, speaker := range r.Speakers {
			samples := channel(t, r, c)
			for _, f := range []media.Format{media.Telephony, {Encoding: media.Linear16, Rate: 8000}, {Encoding: media.Linear16, Rate: 16000}} {
				t.Run(fmt.Sprintf("%s %s %v", r.Name, speaker, f), func(t *testing.T) {
					in := samples
					if f.Rate == 16000 {
						in = double(samples)
					}
					got := finals(s, f, r.Language, in)
					if want := said(r, c); !slices.Equal(texts(got), want) {
						t.Fatalf("heard\n%s\nwant\n%s", strings.Join(texts(got), "\n"), strings.Join(want, "\n"))
					}
					i := 0
					for _, u := range r.Utterances {
						if u.Channel != c {
							continue
						}
						e := got[i]
						i++
						if off := (f.Duration(e.End) - u.End()).Abs(); off > 20*time.Millisecond {
							t.Errorf("%q ends at %v; want %v", u.Text(), f.Duration(e.End), u.End())
						}
						if off := (f.Duration(e.Words[0].Start) - u.Start()).Abs(); off > 20*time.Millisecond {
							t.Errorf("%q starts at %v; want %v", u.Text(), f.Duration(e.Words[0].Start), u.Start())
						}
					}
				})
			}
		}
	}
}

// TestScriptFromAnywhere begins the audio every 2.9 seconds: all words from there
// on must be heard, each once.
func TestScriptFromAnywhere(t *testing.T) {
	s, list := load(t)
	for _, r := range list {
		for c := range r.Speakers {
			samples := channel(t, r, c)
			for from := 137; from < len(samples)-8000*12; from += 23300 {
				got := finals(s, media.Telephony, r.Language, samples[from:])
				start := time.Duration(from) * time.Second / 8000
				var want []string
				for _, u := range r.Utterances {
					for _, w := range u.Words {
						if u.Channel == c && w.Start >= start+10*time.Millisecond {
							want = append(want, w.Text)
						}
					}
				}
				words := strings.Fields(strings.Join(texts(got), " "))
				if len(words) < len(want)-1 || len(words) > len(want)+1 || strings.Join(words[len(words)-len(want)+1:], " ") != strings.Join(want[1:], " ") {
					t.Errorf("%s channel %d from %v: heard %d words, want %d:\n%v\n%v", r.Name, c, start, len(words), len(want), words, want)
				}
			}
		}
	}
}

// TestScriptLocksSoon measures how much speech passes before the first result.
func TestScriptLocksSoon(t *testing.T) {
	s, list := load(t)
	for _, r := range list {
		for c := range r.Speakers {
			first := r.Utterances[slices.IndexFunc(r.Utterances, func(u recordings.Utterance) bool { return u.Channel == c })]
			l := s.Listen(media.Telephony, r.Language)
			audio := media.AppendEncoded(nil, media.MuLaw, channel(t, r, c))
			heard := int64(-1)
			for at := 0; at+160 <= len(audio) && heard < 0; at += 160 {
				l.Write(audio[at:at+160], func(Event) { heard = int64(at + 160) })
			}
			if late := media.Telephony.Duration(heard) - first.Start(); heard < 0 || late > 1600*time.Millisecond {
				t.Errorf("%s channel %d: first event %v after the first word began; want at most 1.6s", r.Name, c, late)
			}
		}
	}
}

func TestScriptAfterGap(t *testing.T) {
	s, list := load(t)
	r := list[slices.IndexFunc(list, func(r recordings.Recording) bool { return r.Name == "en" })]
	samples := channel(t, r, 0)
	at := func(d time.Duration) int { return int(d * 8000 / time.Second) }
	second, fourth := r.Utterances[1], r.Utterances[3]
	middle := second.Words[len(second.Words)/2]
	for _, c := range []struct {
		name  string
		audio []int16
		lost  int // words at most
	}{
		{"half a second missing", slices.Concat(samples[:at(middle.Start)], samples[at(middle.Start)+4000:]), 6},
		{"three seconds of hold", slices.Concat(samples[:at(middle.Start)], make([]int16, 24000), samples[at(middle.Start):]), 3},
		{"a turn skipped", slices.Concat(samples[:at(second.End())], samples[at(fourth.Start())-2000:]), 0},
		{"played again", slices.Concat(samples[:at(second.End())+1000], samples), 0},
		{"lost packets", lossy(samples, 0.02), 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := strings.Fields(strings.Join(said(r, 0), " "))
			got := strings.Fields(strings.Join(texts(finals(s, media.Telephony, "en", c.audio)), " "))
			if c.name == "played again" {
				all = append(strings.Fields(second.Text()), all...)
			}
			if len(got) < len(all)-c.lost || len(got) > len(all) {
				t.Errorf("heard %d words; want %d to %d:\n%v", len(got), len(all)-c.lost, len(all), got)
			}
			if got[len(got)-1] != all[len(all)-1] {
				t.Errorf("last word %q; want %q", got[len(got)-1], all[len(all)-1])
			}
		})
	}
}

func lossy(in []int16, share float64) []int16 {
	r := rand.New(rand.NewPCG(3, 4))
	out := slices.Clone(in)
	for at := 0; at+160 <= len(out); at += 160 {
		if r.Float64() < share {
			clear(out[at : at+160])
		}
	}
	return out
}

func TestScriptSaysNothingForOtherAudio(t *testing.T) {
	s, list := load(t)
	r := rand.New(rand.NewPCG(8, 8))
	bursts := make([]int16, 8000*60)
	for at := 0; at < len(bursts); {
		n, loud := 400+r.IntN(3000), r.IntN(2)*r.IntN(9000)
		for i := at; i < min(at+n, len(bursts)); i++ {
			bursts[i] = int16(float64(loud) * r.NormFloat64() / 3)
		}
		at += n
	}
	backwards := slices.Clone(channel(t, list[0], 0))
	slices.Reverse(backwards)
	for name, samples := range map[string][]int16{
		"silence": make([]int16, 80000), "bursts": bursts, "backwards": backwards,
		"other language": channel(t, list[1], 1),
	} {
		if got := finals(s, media.Telephony, list[0].Language, samples); len(got) > 0 {
			t.Errorf("%s: heard %q", name, texts(got))
		}
	}
	if got := finals(s, media.Telephony, "fr-FR", channel(t, list[0], 0)); len(got) > 0 {
		t.Errorf("as French: heard %q", texts(got))
	}
	// Any recording, but never the wrong one.
	for i, rec := range list {
		if got := finals(s, media.Telephony, "", channel(t, rec, 0)); !slices.Equal(texts(got), said(rec, 0)) {
			t.Errorf("%s without a language: heard %q", list[i].Name, texts(got))
		}
	}
}

// FuzzScript plays stretches of the recordings one after the other, with other
// audio in between.
func FuzzScript(f *testing.F) {
	s, list := load(f)
	var tracks [][]byte
	for _, r := range list {
		for c := range r.Speakers {
			tracks = append(tracks, media.AppendEncoded(nil, media.MuLaw, channel(f, r, c)))
		}
	}
	f.Add(uint32(48000), uint32(24000), uint32(48000), []byte{0xFF, 0x12}, 160)
	f.Add(uint32(1), uint32(9000), uint32(300000), []byte{}, 1)
	f.Fuzz(func(t *testing.T, first, length, second uint32, between []byte, cut int) {
		track := func(from uint32) []byte {
			b := tracks[int(from)%len(tracks)]
			b = b[int(from)%len(b):]
			return b[:min(len(b), int(length%40000))]
		}
		audio := slices.Concat(track(first), between[:min(len(between), 8000)], track(second))
		l, last, total := s.Listen(media.Telephony, ""), int64(0), int64(len(audio))
		emit := func(e Event) {
			for _, w := range e.Words {
				if w.Start < 0 || w.End <= w.Start || w.End > total {
					t.Fatalf("impossible word %+v in %d samples", w, total)
				}
			}
			if e.End < last {
				t.Fatalf("%+v ends before %d", e, last)
			}
			last = e.End
		}
		for cut = 1 + (cut&0x7FFFFFFF)%4000; len(audio) > cut; audio = audio[cut:] {
			l.Write(audio[:cut], emit)
		}
		l.Write(audio, emit)
		l.Close(emit)
	})
}

func BenchmarkScript(b *testing.B) {
	s, list := load(b)
	audio := media.AppendEncoded(nil, media.MuLaw, channel(b, list[0], 0))
	for name, language := range map[string]string{"known": "en", "unknown": "es"} {
		b.Run(name+" 100ms", func(b *testing.B) {
			l, at := s.Listen(media.Telephony, language), 0
			for b.Loop() {
				l.Write(audio[at:at+800], func(Event) {})
				if at += 800; at+800 > len(audio) {
					at = 0
				}
			}
		})
	}
}
