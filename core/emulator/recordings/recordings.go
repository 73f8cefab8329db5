// Package recordings holds recorded calls with the time of every word, for
// demonstrations and tests: two support calls in stereo mu-law at 8 kHz, the
// customer left and the agent right, in English and in Spanish. They are
// synthetic; generate.py says exactly how they were made.
//
// A folder of one's own recordings has the same shape: NAME.wav (any number of
// channels, 16-bit PCM or G.711) and NAME.yaml beside it:
//
//	language: en-US
//	speakers: [customer, agent] # by channel
//	utterances:
//	  - {speaker: customer, words: [["Hello", 0.51, 0.83], …]} # start and end in seconds
package recordings

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/patchbay/patchbay/core/media"
)

// FS holds the bundled recordings.
//
//go:embed *.wav *.yaml
var FS embed.FS

// Speakers of the bundled recordings, by channel.
const (
	Customer = "customer" // left
	Agent    = "agent"    // right
)

// Recording is one recorded call.
type Recording struct {
	Name       string   // file name without suffix: "en"
	Language   string   // BCP 47: "en-US"
	Speakers   []string // by channel
	WAV        []byte   // the whole file
	Utterances []Utterance
}

// Utterance is one stretch of speech, in order of its start.
type Utterance struct {
	Channel int
	Speaker string
	Words   []Word // at least one, in order
}

// Word is one word as spoken, with its punctuation.
type Word struct {
	Text       string
	Start, End time.Duration // since the recording began
}

// Start is when the first word begins.
func (u Utterance) Start() time.Duration { return u.Words[0].Start }

// End is when the last word ends.
func (u Utterance) End() time.Duration { return u.Words[len(u.Words)-1].End }

// Text joins the words by spaces.
func (u Utterance) Text() string {
	words := make([]string, len(u.Words))
	for i, w := range u.Words {
		words[i] = w.Text
	}
	return strings.Join(words, " ")
}

// Audio decodes the recording.
func (r Recording) Audio() (media.WAV, error) {
	w, err := media.ReadWAV(bytes.NewReader(r.WAV))
	if err != nil {
		return w, fmt.Errorf("recordings: %s.wav: %w", r.Name, err)
	}
	return w, nil
}

// Names lists the bundled recordings.
func Names() []string { return names(FS) }

// Open returns a bundled recording by name: "en" or "es".
func Open(name string) (Recording, error) {
	if !slices.Contains(Names(), name) {
		return Recording{}, fmt.Errorf("recordings: there is no %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return open(FS, name)
}

// Load reads all recordings of a folder. All problems are reported at once.
func Load(fsys fs.FS) ([]Recording, error) {
	var list []Recording
	var problems []error
	for _, name := range names(fsys) {
		r, err := open(fsys, name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		list = append(list, r)
	}
	if len(list) == 0 && len(problems) == 0 {
		problems = append(problems, errors.New("recordings: the folder has no .wav file"))
	}
	return list, errors.Join(problems...)
}

func names(fsys fs.FS) (list []string) {
	files, err := fs.Glob(fsys, "*.wav")
	if err != nil {
		return nil
	}
	for _, f := range files {
		list = append(list, strings.TrimSuffix(f, ".wav"))
	}
	return list
}

// maxFile bounds one file of a recording.
const maxFile = media.MaxWAVBytes

func open(fsys fs.FS, name string) (Recording, error) {
	r := Recording{Name: name}
	var err error
	if r.WAV, err = readFile(fsys, name+".wav"); err != nil {
		return Recording{}, err
	}
	text, err := readFile(fsys, name+".yaml")
	if err != nil {
		return Recording{}, fmt.Errorf("%w; each recording needs its words beside it", err)
	}
	if err := r.parse(text); err != nil {
		return Recording{}, fmt.Errorf("recordings: %s.yaml: %w", name, err)
	}
	return r, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("longer than %d bytes", maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("recordings: %s: %w", name, err)
	}
	return b, nil
}

// parse reads the words of a recording.
func (r *Recording) parse(text []byte) error {
	var file struct {
		Language   string   `yaml:"language"`
		Speakers   []string `yaml:"speakers"`
		Utterances []struct {
			Speaker string    `yaml:"speaker"`
			Words   []rawWord `yaml:"words"`
		} `yaml:"utterances"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return err
	}
	if file.Language == "" || len(file.Speakers) == 0 {
		return errors.New("language and speakers must be set")
	}
	r.Language, r.Speakers = file.Language, file.Speakers
	for i, u := range file.Utterances {
		channel := slices.Index(file.Speakers, u.Speaker)
		if channel < 0 {
			return fmt.Errorf("utterance %d: %q is not one of speakers", i+1, u.Speaker)
		}
		if len(u.Words) == 0 {
			return fmt.Errorf("utterance %d has no words", i+1)
		}
		out := Utterance{Channel: channel, Speaker: u.Speaker}
		var last time.Duration
		for _, w := range u.Words {
			if w.Text == "" || w.Start < last || w.End <= w.Start {
				return fmt.Errorf("utterance %d: word %q from %v to %v does not follow the one before", i+1, w.Text, w.Start, w.End)
			}
			last = w.Start
			out.Words = append(out.Words, Word(w))
		}
		r.Utterances = append(r.Utterances, out)
	}
	slices.SortStableFunc(r.Utterances, func(a, b Utterance) int { return cmp.Compare(a.Start(), b.Start()) })
	return nil
}

// rawWord is a word as written: [text, start, end].
type rawWord Word

// UnmarshalYAML implements yaml.Unmarshaler.
func (w *rawWord) UnmarshalYAML(n *yaml.Node) error {
	var start, end float64
	if n.Kind != yaml.SequenceNode || len(n.Content) != 3 {
		return fmt.Errorf("line %d: a word is [text, start, end]", n.Line)
	}
	if err := errors.Join(n.Content[0].Decode(&w.Text), n.Content[1].Decode(&start), n.Content[2].Decode(&end)); err != nil {
		return err
	}
	const day = 86400
	if !(start >= 0 && start < day && end >= 0 && end < day) {
		return fmt.Errorf("line %d: times must be seconds from 0 to %d", n.Line, day)
	}
	w.Start, w.End = seconds(start), seconds(end)
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s*1e6)) * time.Microsecond }
