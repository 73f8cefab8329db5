// Package knowledge is the small knowledge base behind the emulator's
// suggestions: articles, questions with answers, and replies, loaded from a
// folder of Markdown and YAML files and found by full-text search.
//
// A Markdown file is one article; its front matter holds title, uri and
// language. A YAML file holds any number of entries of one language:
//
//	language: en
//	articles: [{title: …, uri: …, text: …}]
//	faqs:     [{question: …, answer: …, source: …}]
//	replies:  [{when: ["phrase", …], reply: …}]
package knowledge

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Article is a page that may help.
type Article struct {
	Title    string `yaml:"title"`
	URI      string `yaml:"uri"`
	Language string `yaml:"language"` // BCP 47 or its first part; in YAML files the file's
	Text     string `yaml:"text"`
}

// FAQ is a question with its answer.
type FAQ struct {
	Question string `yaml:"question"`
	Answer   string `yaml:"answer"`
	Source   string `yaml:"source"`
	language string
}

// Reply is what an agent could say when a phrase was heard.
type Reply struct {
	When     []string `yaml:"when"` // phrases; all words of one must occur in the message
	Reply    string   `yaml:"reply"`
	language string
}

// Base is a loaded knowledge base. It does not change and is safe for
// concurrent use.
type Base struct {
	articles []Article
	faqs     []FAQ
	replies  []Reply
	byText   map[string]*index // articles by language
	byFAQ    map[string]*index
	phrases  [][][]string // terms of each phrase of each reply
}

//go:embed demo
var demo embed.FS

// Demo returns the built-in base, in English and Spanish, that fits the
// emulator's recordings.
func Demo() (*Base, error) {
	sub, err := fs.Sub(demo, "demo")
	if err != nil {
		return nil, err
	}
	return Load(sub)
}

// MaxFile bounds one file of a knowledge base.
const MaxFile = 1 << 20

// Load reads every .md, .yaml and .yml file of a folder and its subfolders. All
// problems are reported at once, each with its file.
func Load(fsys fs.FS) (*Base, error) {
	b := &Base{byText: map[string]*index{}, byFAQ: map[string]*index{}}
	var problems []error
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var add func([]byte) error
		switch path.Ext(name) {
		case ".md":
			add = b.addMarkdown
		case ".yaml", ".yml":
			add = b.addYAML
		default:
			return nil
		}
		data, err := readFile(fsys, name)
		if err == nil {
			err = add(data)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("knowledge: %s: %w", name, err))
		}
		return nil
	})
	if err = errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	b.build()
	return b, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("longer than %d bytes; split it", MaxFile)
	}
	return data, err
}

func (b *Base) addMarkdown(data []byte) error {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	rest, ok := bytes.CutPrefix(data, []byte("---\n"))
	head, text, found := bytes.Cut(rest, []byte("\n---\n"))
	if !ok || !found {
		return errors.New("no front matter; begin with a line ---, then title, uri and language, then ---")
	}
	var a Article
	if err := decode(head, &a); err != nil {
		return err
	}
	if a.Text = strings.TrimSpace(string(text)); a.Title == "" || a.Text == "" || a.Language == "" {
		return errors.New("title, language and text must not be empty")
	}
	b.articles = append(b.articles, a)
	return nil
}

func (b *Base) addYAML(data []byte) error {
	var file struct {
		Language string    `yaml:"language"`
		Articles []Article `yaml:"articles"`
		FAQs     []FAQ     `yaml:"faqs"`
		Replies  []Reply   `yaml:"replies"`
	}
	if err := decode(data, &file); err != nil {
		return err
	}
	if file.Language == "" {
		return errors.New("language is missing; name it at the top of the file, like: language: en")
	}
	for i, a := range file.Articles {
		if a.Title == "" || a.Text == "" {
			return fmt.Errorf("article %d: title and text must not be empty", i+1)
		}
		a.Language = file.Language
		b.articles = append(b.articles, a)
	}
	for i, f := range file.FAQs {
		if f.Question == "" || f.Answer == "" {
			return fmt.Errorf("faq %d: question and answer must not be empty", i+1)
		}
		f.language = file.Language
		b.faqs = append(b.faqs, f)
	}
	for i, r := range file.Replies {
		if len(r.When) == 0 || r.Reply == "" {
			return fmt.Errorf("reply %d: when and reply must not be empty", i+1)
		}
		r.language = file.Language
		b.replies = append(b.replies, r)
	}
	return nil
}

func decode(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// build makes the indexes.
func (b *Base) build() {
	for i, a := range b.articles {
		indexOf(b.byText, a.Language).add(i, strings.Repeat(a.Title+" ", 3)+a.Text)
	}
	for i, f := range b.faqs {
		indexOf(b.byFAQ, f.language).add(i, strings.Repeat(f.Question+" ", 2)+f.Answer)
	}
	for _, r := range b.replies {
		var list [][]string
		for _, phrase := range r.When {
			list = append(list, allTerms(phrase))
		}
		b.phrases = append(b.phrases, list)
	}
}

func indexOf(m map[string]*index, language string) *index {
	key := base(language)
	if m[key] == nil {
		m[key] = newIndex()
	}
	return m[key]
}

// base returns the language without region: "en" of "en-US".
func base(language string) string {
	l, _, _ := strings.Cut(strings.ToLower(language), "-")
	return l
}
