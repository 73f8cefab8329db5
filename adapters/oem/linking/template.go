package linking

import (
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// template tries the trunk's own templates.
func (l *Linker) template(k *Link, r Request) (found, bool) {
	for _, t := range l.templates {
		for _, value := range t.values(r) {
			value = strings.TrimSpace(value)
			at := t.match.FindStringSubmatchIndex(value)
			if value == "" || at == nil || len(value) > maxInfo {
				continue
			}
			text := string(t.match.ExpandString(nil, t.want, value, at))
			f, ok := named(text, t.source+" "+t.name)
			if ok {
				return f, true
			}
			k.warn("the template on %s %s makes no valid conversation id", t.source, t.name)
		}
	}
	return found{}, false
}

// values returns what a template looks at.
func (t template) values(r Request) []string {
	part := func(address string) []string {
		a := siprec.ParseAddress(address)
		if t.name == "host" {
			return []string{a.Host}
		}
		return []string{a.User}
	}
	switch t.source {
	case "header":
		if r.Headers == nil {
			return nil
		}
		return r.Headers.Values(t.name)
	case "field":
		return []string{r.View.Field(t.name)}
	case "uri":
		return part(r.URI)
	case "to":
		return part(r.To)
	}
	return part(r.From)
}
