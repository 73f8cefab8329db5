package knowledge

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// ArticleHit is an article that fits a message.
type ArticleHit struct {
	Article
	Snippets   []string // the sentence that fits best
	Confidence float32  // 0 to 1
}

// FAQHit is a question with its answer that fits a message.
type FAQHit struct {
	FAQ
	Confidence float32 // 0 to 1
}

// ReplyHit is a reply that fits a message.
type ReplyHit struct {
	Text       string
	Confidence float32 // 0 to 1
}

// Articles returns at most n articles in a language that fit a text, best first.
func (b *Base) Articles(language, text string, n int) []ArticleHit {
	var out []ArticleHit
	for _, h := range b.byText[base(language)].search(text, n) {
		a := b.articles[h.doc]
		out = append(out, ArticleHit{Article: a, Snippets: snippet(a.Text, text), Confidence: h.confidence})
	}
	return out
}

// FAQs returns at most n questions in a language that fit a text, best first.
func (b *Base) FAQs(language, text string, n int) []FAQHit {
	var out []FAQHit
	for _, h := range b.byFAQ[base(language)].search(text, n) {
		out = append(out, FAQHit{FAQ: b.faqs[h.doc], Confidence: h.confidence})
	}
	return out
}

// Replies returns at most n replies in a language whose phrases occur in a text,
// longest phrase first.
func (b *Base) Replies(language, text string, n int) []ReplyHit {
	said := allTerms(text)
	type match struct{ reply, length int }
	var matches []match
	for i, phrases := range b.phrases {
		if base(b.replies[i].language) != base(language) {
			continue
		}
		best := 0
		for _, p := range phrases {
			if len(p) > best && containsAll(said, p) {
				best = len(p)
			}
		}
		if best > 0 {
			matches = append(matches, match{i, best})
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int { return cmp.Compare(b.length, a.length) })
	var out []ReplyHit
	for _, m := range matches[:min(n, len(matches))] {
		confidence := 1 - 1/float32(m.length+1)
		out = append(out, ReplyHit{Text: b.replies[m.reply].Reply, Confidence: confidence})
	}
	return out
}

func containsAll(said, phrase []string) bool {
	for _, term := range phrase {
		if !slices.Contains(said, term) {
			return false
		}
	}
	return true
}

// snippet returns the sentence of a text that shares most terms with a query.
func snippet(text, query string) []string {
	want := terms(query)
	var best string
	most := 0
	for sentence := range strings.SplitSeq(strings.Join(strings.Fields(text), " "), ". ") {
		n := 0
		for _, t := range terms(sentence) {
			if slices.Contains(want, t) {
				n++
			}
		}
		if n > most {
			best, most = strings.TrimSuffix(sentence, ".")+".", n
		}
	}
	if best == "" {
		return nil
	}
	return []string{best}
}

// index ranks documents by BM25 (Robertson and others, TREC-3, 1994).
type index struct {
	docs     []int            // as numbered by the caller
	lengths  []int            // terms in each
	postings map[string][]hit // by term
	total    int              // terms in all
}

type hit struct {
	doc        int // index into docs, in results the caller's number
	count      int
	score      float64
	confidence float32
}

func newIndex() *index { return &index{postings: map[string][]hit{}} }

func (x *index) add(doc int, text string) {
	counts := map[string]int{}
	list := terms(text)
	for _, t := range list {
		counts[t]++
	}
	for t, n := range counts {
		x.postings[t] = append(x.postings[t], hit{doc: len(x.docs), count: n})
	}
	x.docs, x.lengths, x.total = append(x.docs, doc), append(x.lengths, len(list)), x.total+len(list)
}

// The usual constants of BM25, and where a score becomes a confidence of one half.
const (
	bm25K1    = 1.2
	bm25B     = 0.75
	halfScore = 4.0
)

// search returns the n best documents that share two different terms with the
// text, or one when the text has only one. A nil index holds nothing.
func (x *index) search(text string, n int) []hit {
	if x == nil || n <= 0 {
		return nil
	}
	query := terms(text)
	slices.Sort(query)
	query = slices.Compact(query)
	scores := map[int]*hit{}
	mean := float64(x.total) / float64(len(x.docs))
	for _, t := range query {
		list := x.postings[t]
		idf := math.Log(1 + (float64(len(x.docs)-len(list))+0.5)/(float64(len(list))+0.5))
		for _, p := range list {
			h := scores[p.doc]
			if h == nil {
				h = &hit{doc: p.doc}
				scores[p.doc] = h
			}
			tf := float64(p.count)
			h.count++
			h.score += idf * tf * (bm25K1 + 1) / (tf + bm25K1*(1-bm25B+bm25B*float64(x.lengths[p.doc])/mean))
		}
	}
	var hits []hit
	for _, h := range scores {
		if h.count >= min(2, len(query)) {
			h.confidence = float32(h.score / (h.score + halfScore))
			h.doc = x.docs[h.doc]
			hits = append(hits, *h)
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.doc, b.doc))
	})
	return hits[:min(n, len(hits))]
}
