package recordings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

func ExampleOpen() {
	r, err := Open("en")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Language, r.Utterances[0].Speaker+":", r.Utterances[0].Text())
	// Output:
	// en-US agent: Thank you for calling Brightline, my name is Martin. How can I help you today?
}

// TestBundled checks each recording against its own words: speech where a word
// is, silence before the first.
func TestBundled(t *testing.T) {
	if got := Names(); !slices.Equal(got, []string{"en", "es"}) {
		t.Fatalf("Names() = %v", got)
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			r, err := Open(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.WAV) >= 1<<20 {
				t.Errorf("%d bytes; want less than 1 MB", len(r.WAV))
			}
			w, err := r.Audio()
			if err != nil {
				t.Fatal(err)
			}
			if w.Rate != 8000 || len(w.Channels) != 2 || !slices.Equal(r.Speakers, []string{Customer, Agent}) {
				t.Fatalf("%d Hz, %d channels, speakers %v", w.Rate, len(w.Channels), r.Speakers)
			}
			level := func(channel int, from, to time.Duration) float64 {
				cut := w.Channels[channel][int(from*8000/time.Second):int(to*8000/time.Second)]
				return media.Level(media.Linear16, media.AppendEncoded(nil, media.Linear16, cut))
			}
			overlaps := 0
			for i, u := range r.Utterances {
				for _, word := range u.Words {
					if got := level(u.Channel, word.Start, word.End); got < -45 {
						t.Errorf("%v: %q has a level of %.0f dB; want speech", word.Start, word.Text, got)
					}
				}
				if got := level(u.Channel, u.Start()-200*time.Millisecond, u.Start()-50*time.Millisecond); got > -55 {
					t.Errorf("%.0f dB before %q; want silence", got, u.Text())
				}
				if i > 0 && u.Start() < r.Utterances[i-1].End() {
					overlaps++
				}
			}
			if overlaps != 1 {
				t.Errorf("%d overlaps; want 1", overlaps)
			}
		})
	}
	if _, err := Open("fr"); err == nil || !strings.Contains(err.Error(), "en, es") {
		t.Errorf("Open(fr) = %v; want an error that lists what exists", err)
	}
}

func TestLoadReportsProblems(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"missing":       {"", "words beside it"},
		"not YAML":      {"\t", "a.yaml"},
		"unknown key":   {"colour: red", "colour"},
		"no language":   {"speakers: [a]", "language and speakers"},
		"wrong speaker": {"language: en\nspeakers: [a]\nutterances: [{speaker: b, words: [[x, 0, 1]]}]", `"b" is not one of speakers`},
		"no words":      {"language: en\nspeakers: [a]\nutterances: [{speaker: a}]", "no words"},
		"short word":    {"language: en\nspeakers: [a]\nutterances: [{speaker: a, words: [[x, 0]]}]", "[text, start, end]"},
		"backwards":     {"language: en\nspeakers: [a]\nutterances: [{speaker: a, words: [[x, 1, 2], [y, 0, 1]]}]", "does not follow"},
		"not a number":  {"language: en\nspeakers: [a]\nutterances: [{speaker: a, words: [[x, .nan, 2]]}]", "seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{"a.wav": {Data: []byte("RIFF")}}
			if c.file != "" {
				files["a.yaml"] = &fstest.MapFile{Data: []byte(c.file)}
			}
			if _, err := Load(files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v; want %q", err, c.want)
			}
		})
	}
	if _, err := Load(fstest.MapFS{}); err == nil {
		t.Error("an empty folder was accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("language: en\nspeakers: [a, b]\nutterances:\n  - {speaker: b, words: [[Hello, 0.5, 0.9], [you, 0.9, 1.2]]}\n  - {speaker: a, words: [[Hi, 0.1, 0.2]]}")
	f.Add("language: en\nspeakers: [a]\nutterances: [{speaker: a, words: [[x, 1e300, -1]]}]")
	f.Fuzz(func(t *testing.T, text string) {
		var r Recording
		if r.parse([]byte(text)) != nil {
			return
		}
		var last time.Duration
		for _, u := range r.Utterances {
			if u.Start() < last || u.End() <= u.Start() || r.Speakers[u.Channel] != u.Speaker {
				t.Errorf("utterance from %v to %v by %s after %v", u.Start(), u.End(), u.Speaker, last)
			}
			last = u.Start()
		}
	})
}
