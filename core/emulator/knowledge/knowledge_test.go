package knowledge

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/patchbay/patchbay/core/emulator/recordings"
)

func demoBase(t testing.TB) *Base {
	t.Helper()
	b, err := Demo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSearch(t *testing.T) {
	b := demoBase(t)
	for _, c := range []struct {
		name, language, text string
		article, faq, reply  string // part of the best hit; "" wants none
	}{
		{"drops", "en-US", "My internet connection drops every few minutes, and the light on my router keeps blinking orange.",
			"drops again", "Why does my connection drop", "sorry to hear"},
		{"other forms of the words", "en", "connections dropping, routers blinked", "drops again", "connection drop", "sorry to hear"},
		{"firmware", "en-GB", "Do I need to update the firmware, or will you send a technician?", "firmware", "firmware", "technician"},
		{"accents do not matter", "es-ES", "Mi factura de este mes es mas alta de lo normal y no entiendo por que", "más alta", "más alta", "Lamento"},
		{"another language", "es", "My internet connection drops every few minutes", "", "", ""},
		{"unknown language", "fr-FR", "Ma facture est plus haute", "", "", ""},
		{"small talk", "en", "Hello, how are you today?", "", "", ""},
		{"nothing", "en", "", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			article, faq, reply := "", "", ""
			if hits := b.Articles(c.language, c.text, 3); len(hits) > 0 {
				article = hits[0].Title
			}
			if hits := b.FAQs(c.language, c.text, 3); len(hits) > 0 {
				faq = hits[0].Question
			}
			if hits := b.Replies(c.language, c.text, 3); len(hits) > 0 {
				reply = hits[0].Text
			}
			for what, pair := range map[string][2]string{"article": {article, c.article}, "faq": {faq, c.faq}, "reply": {reply, c.reply}} {
				if (pair[0] == "") != (pair[1] == "") || !strings.Contains(pair[0], pair[1]) {
					t.Errorf("%s = %q; want %q", what, pair[0], pair[1])
				}
			}
		})
	}
}

func TestHitsAreRankedAndBounded(t *testing.T) {
	b := demoBase(t)
	text := "the router drops the connection, update the firmware, send a technician, credit for days without service"
	hits := b.Articles("en", text, 10)
	if len(hits) < 3 {
		t.Fatalf("%d articles; want at least 3", len(hits))
	}
	for i, h := range hits {
		if h.Confidence <= 0 || h.Confidence > 1 || i > 0 && h.Confidence > hits[i-1].Confidence {
			t.Errorf("confidence of hit %d = %v after %v", i, h.Confidence, hits[max(0, i-1)].Confidence)
		}
		if len(h.Snippets) != 1 || !strings.Contains(strings.Join(strings.Fields(h.Text), " "), strings.TrimSuffix(h.Snippets[0], ".")) {
			t.Errorf("snippet %q is not in the article", h.Snippets)
		}
	}
	if got := len(b.Articles("en", text, 2)); got != 2 {
		t.Errorf("Articles(…, 2) gave %d", got)
	}
}

// TestDemoFitsTheRecordings holds the base against the calls that it is for.
func TestDemoFitsTheRecordings(t *testing.T) {
	b := demoBase(t)
	for _, name := range recordings.Names() {
		r, err := recordings.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var articles, faqs, replies int
		for _, u := range r.Utterances {
			if u.Speaker == recordings.Customer {
				articles += len(b.Articles(r.Language, u.Text(), 2))
				faqs += len(b.FAQs(r.Language, u.Text(), 1))
				replies += len(b.Replies(r.Language, u.Text(), 2))
			}
		}
		if articles < 3 || faqs < 3 || replies < 3 {
			t.Errorf("%s: %d articles, %d FAQ answers, %d replies in the call; want at least 3 of each", name, articles, faqs, replies)
		}
	}
}

func TestLoadReportsEveryProblem(t *testing.T) {
	_, err := Load(fstest.MapFS{
		"a.md":       {Data: []byte("no front matter")},
		"b.md":       {Data: []byte("---\ntitle: t\n---\ntext")},
		"c.yaml":     {Data: []byte("faqs: []")},
		"d.yaml":     {Data: []byte("language: en\nwrong: 1")},
		"e.yaml":     {Data: []byte("language: en\nfaqs: [{question: q}]")},
		"f.yml":      {Data: []byte("language: en\nreplies: [{reply: r}]")},
		"g.yaml":     {Data: []byte("language: en\narticles: [{title: t}]")},
		"ignored.go": {Data: []byte("package x")},
	})
	for _, file := range []string{"a.md: no front matter", "b.md: title, language", "c.yaml: language", "d.yaml", "e.yaml: faq 1", "f.yml: reply 1", "g.yaml: article 1"} {
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v does not name %q", err, file)
		}
	}
	if err != nil && strings.Contains(err.Error(), "ignored") {
		t.Errorf("error names a file of another kind: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("---\ntitle: t\nlanguage: en\n---\nThe text of it.", true)
	f.Add("language: en\nfaqs: [{question: how, answer: so}]\nreplies: [{when: [a b], reply: c}]", false)
	f.Fuzz(func(t *testing.T, data string, markdown bool) {
		name := "x.yaml"
		if markdown {
			name = "x.md"
		}
		b, err := Load(fstest.MapFS{name: {Data: []byte(data)}})
		if err != nil {
			return
		}
		for _, a := range b.articles {
			if a.Title == "" || strings.TrimSpace(a.Text) == "" && markdown {
				t.Errorf("accepted an article without title or text: %+v", a)
			}
			if words := terms(a.Title); len(words) > 0 && len(b.Articles(a.Language, a.Title, len(b.articles))) == 0 {
				t.Errorf("article %q is not found by its title", a.Title)
			}
		}
	})
}

func FuzzTerms(f *testing.F) {
	f.Add("My routers' lights were dropping ¿Qué Ñandú?")
	f.Fuzz(func(t *testing.T, text string) {
		for _, term := range allTerms(text) {
			if term == "" || strings.ContainsAny(term, " .,?!") {
				t.Errorf("term %q", term)
			}
		}
		if upper := allTerms(strings.ToUpper(strings.ToLower(text))); isASCII(text) && !slices.Equal(upper, allTerms(text)) {
			t.Errorf("terms depend on case: %q, %q", upper, allTerms(text))
		}
	})
}

func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0 }

func BenchmarkArticles(b *testing.B) {
	base := demoBase(b)
	for b.Loop() {
		base.Articles("en", "My internet connection drops every few minutes and the router blinks", 2)
	}
}
