package hear

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/core/media"
	"github.com/patchbay/patchbay/core/media/probe"
)

// listen writes audio in pieces and returns one line an event, positions in
// milliseconds of 8 kHz audio.
func listen(l Listener, audio []byte, cut int) []string {
	var got []string
	emit := func(e Event) {
		name := map[Kind]string{Begin: "begin", Interim: "interim", Final: "final", End: "end"}[e.Kind]
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d-%d %s", name, e.Start/8, e.End/8, e.Text())))
	}
	for len(audio) > 0 {
		n := min(cut, len(audio))
		l.Write(audio[:n], emit)
		audio = audio[n:]
	}
	l.Close(emit)
	return got
}

func blocks(from, to uint32) (b []byte) {
	for n := from; n <= to; n++ {
		b = probe.AppendBlock(b, 1, n)
	}
	return b
}

func silence(ms int) []byte { return slices.Repeat([]byte{0xFF}, ms*8) }

func tones(words ...string) []byte {
	return media.AppendEncoded(nil, media.MuLaw, probe.AppendTones(nil, 8000, words...))
}

func TestCoded(t *testing.T) {
	for _, c := range []struct {
		name  string
		audio []byte
		want  []string
	}{
		{"silence", silence(2000), nil},
		{"one utterance", slices.Concat(silence(100), blocks(0, 59), silence(600)),
			[]string{"begin 100-100", "interim 100-1100 blocks 0-49", "final 100-1300 blocks 0-49 50-59", "end 1300-1300"}},
		{"short gap and jump in numbers", slices.Concat(blocks(0, 4), silence(100), blocks(8, 9), silence(499)),
			[]string{"begin 0-0", "interim 0-100 blocks 0-4", "final 0-240 blocks 0-4 8-9", "end 240-240"}},
		{"two utterances", slices.Concat(blocks(0, 4), silence(500), blocks(5, 9)),
			[]string{"begin 0-0", "final 0-100 blocks 0-4", "end 100-100", "begin 600-600", "final 600-700 blocks 5-9", "end 700-700"}},
		{"forced final", slices.Concat(blocks(200, 459)),
			[]string{"begin 0-0", "interim 0-1000 blocks 200-249", "interim 0-2000 blocks 200-249 250-299",
				"interim 0-3000 blocks 200-249 250-299 300-349", "interim 0-4000 blocks 200-249 250-299 300-349 350-399",
				"final 0-5000 blocks 200-249 250-299 300-349 350-399 400-449", "final 5000-5200 blocks 450-459", "end 5200-5200"}},
		{"forced final, then silence", slices.Concat(blocks(0, 249), silence(1000)),
			[]string{"begin 0-0", "interim 0-1000 blocks 0-49", "interim 0-2000 blocks 0-49 50-99", "interim 0-3000 blocks 0-49 50-99 100-149",
				"interim 0-4000 blocks 0-49 50-99 100-149 150-199", "final 0-5000 blocks 0-49 50-99 100-149 150-199 200-249", "end 5000-5000"}},
	} {
		for _, cut := range []int{160, 800, 1111, 1 << 20} {
			t.Run(fmt.Sprintf("%s by %d", c.name, cut), func(t *testing.T) {
				if got := listen(Coded{}.Listen(media.Telephony, ""), c.audio, cut); !slices.Equal(got, c.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
			})
		}
	}
}

func TestTones(t *testing.T) {
	audio := slices.Concat(silence(300), tones("amber", "river"), silence(1000), tones("echo"))
	for _, cut := range []int{160, 800, 1 << 20} {
		got := listen(Tones{}.Listen(media.Telephony, ""), audio, cut)
		var texts []string
		for _, line := range got {
			kind, rest, _ := strings.Cut(line, " ")
			_, words, _ := strings.Cut(rest, " ")
			texts = append(texts, strings.TrimSpace(kind+" "+words))
		}
		want := []string{"begin", "interim amber", "interim amber river", "final amber river", "end", "begin", "interim echo", "final echo", "end"}
		if !slices.Equal(texts, want) {
			t.Errorf("by %d: got %q; want %q", cut, got, want)
		}
	}
}

func TestAllHearsEachKind(t *testing.T) {
	audio := slices.Concat(tones("amber"), silence(800), blocks(0, 9), silence(800))
	var finals []string
	for _, line := range listen(All(Coded{}, Tones{}, Deaf{}).Listen(media.Telephony, ""), audio, 800) {
		if strings.HasPrefix(line, "final") {
			finals = append(finals, strings.Join(strings.Fields(line)[2:], " "))
		}
	}
	if want := []string{"amber", "blocks 0-9"}; !slices.Equal(finals, want) {
		t.Errorf("finals = %q; want %q", finals, want)
	}
}
