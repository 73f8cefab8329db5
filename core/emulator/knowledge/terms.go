package knowledge

import (
	"slices"
	"strings"
	"unicode"
)

// fold maps accented letters of western European languages to plain ones.
var fold = map[rune]rune{
	'á': 'a', 'à': 'a', 'â': 'a', 'ä': 'a', 'ã': 'a', 'å': 'a', 'é': 'e', 'è': 'e', 'ê': 'e', 'ë': 'e',
	'í': 'i', 'ì': 'i', 'î': 'i', 'ï': 'i', 'ó': 'o', 'ò': 'o', 'ô': 'o', 'ö': 'o', 'õ': 'o',
	'ú': 'u', 'ù': 'u', 'û': 'u', 'ü': 'u', 'ñ': 'n', 'ç': 'c',
}

// stopWords say nothing about the topic, in English and Spanish, without accents.
var stopWords = strings.Fields(`
a about after all also am an and any are as at be been but by can could did do does for from had has have he her
hi hello here him his how i if in into is it its just let like me my no not now of ok okay on one or our out please
she should so some thank thanks that the their them then there they this to up us very was we well were what when
where which who why will with would yes yet you your
al algo como con cual cuando de del desde donde el ella ellos en era es esa ese eso esta este esto fue gracias ha
hay he hola la las le les lo los mas me mi mis muy ni nos o para pero por que quien se ser si sin sobre son su sus
tambien te tengo tiene todo tu un una uno usted y ya yo`)

// allTerms splits a text into folded, stemmed terms.
func allTerms(text string) []string {
	folded := strings.Map(func(r rune) rune {
		r = unicode.ToLower(r)
		if plain, ok := fold[r]; ok {
			return plain
		}
		return r
	}, strings.ReplaceAll(text, "'", ""))
	words := strings.FieldsFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		words[i] = stem(w)
	}
	return words
}

// terms returns the terms of a text that tell its topic.
func terms(text string) []string {
	return slices.DeleteFunc(allTerms(text), func(t string) bool { return stemmedStops[t] })
}

var stemmedStops = func() map[string]bool {
	set := map[string]bool{}
	for _, w := range stopWords {
		set[stem(w)] = true
	}
	return set
}()

// suffixes are cut off by stem, the longest first, in English and Spanish: light
// on purpose, so that "routers", "router" and "dropping", "drop" meet.
var suffixes = []string{"amente", "aciones", "mente", "acion", "iendo", "ando", "ings", "ing", "ies", "ed", "es", "os", "as", "s", "y", "o", "a", "e"}

func stem(w string) string {
	const shortest = 3 // letters that must remain
	for _, s := range suffixes {
		if cut, ok := strings.CutSuffix(w, s); ok && len(cut) >= shortest {
			if n := len(cut); n > shortest && cut[n-1] == cut[n-2] && len(s) > 1 && cut[n-1] != 'l' && cut[n-1] != 's' {
				cut = cut[:n-1] // dropping, dropped: one p
			}
			return cut
		}
	}
	return w
}
