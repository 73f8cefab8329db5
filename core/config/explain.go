package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/patchbay/patchbay/core/adapter"
)

// explain adds a problem for each leaf of a validation error.
func (r *resolver) explain(root *jsonschema.Schema, tree any, e *jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		// Every branch failed for reasons of its own; the one that got furthest is meant.
		if best := deepest(e); best != nil {
			r.explain(root, tree, best)
			return
		}
	default:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				r.explain(root, tree, cause)
			}
			return
		}
	}
	key, value, schemas := r.locate(root, tree, e.InstanceLocation)
	if r.hidden[key] && slices.ContainsFunc(r.problems, func(p adapter.Problem) bool { return p.Key == key }) {
		return // the reference is wrong already
	}
	r.leaf(key, value, schemas, e)
}

// deepest returns the cause that lies deepest in the settings: the form of a value
// that fits it best.
func deepest(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return nil
	}
	return slices.MaxFunc(e.Causes, func(a, b *jsonschema.ValidationError) int { return reach(a) - reach(b) })
}

// reach returns how deep in the settings an error's causes lie.
func reach(e *jsonschema.ValidationError) int {
	n := len(e.InstanceLocation)
	for _, c := range e.Causes {
		n = max(n, reach(c))
	}
	return n
}

// locate returns the key, the value and the schemas of a place in the settings.
func (r *resolver) locate(root *jsonschema.Schema, v any, location []string) (key string, value any, schemas []*jsonschema.Schema) {
	key, schemas = r.root, flatten(root)
	for _, token := range location {
		switch parent := v.(type) {
		case map[string]any:
			key, v, schemas = under(key, token), parent[token], property(schemas, token)
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(parent) {
				return key, v, schemas
			}
			key, v, schemas = at(key, i), parent[i], item(schemas, i)
		}
	}
	return key, v, schemas
}

// leaf adds the problems of one failed keyword.
func (r *resolver) leaf(key string, value any, schemas []*jsonschema.Schema, e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			why, do := unknownKey(name, names(schemas))
			r.problems.Add(under(key, name), "", why, do)
		}
	case *kind.Required:
		for _, name := range k.Missing {
			do := "write it"
			if d := describe(property(schemas, name)); d != "" {
				do += ": " + d
			}
			r.problems.Add(under(key, name), "", "missing", do)
		}
	default:
		why, do := sentence(e, value, schemas)
		r.problems.Add(key, r.show(key, value), why, do)
	}
}

// sentence says why a value fails a keyword and what to do.
func sentence(e *jsonschema.ValidationError, value any, schemas []*jsonschema.Schema) (why, do string) {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return wrongType(k)
	case *kind.Enum:
		words := make([]string, len(k.Want))
		for i, w := range k.Want {
			words[i] = fmt.Sprint(w)
		}
		return notOneOf(fmt.Sprint(value), words)
	case *kind.Const:
		return "not the one value that is possible", fmt.Sprintf("write %v", k.Want)
	case *kind.Format:
		if k.Want == "duration" {
			return "not a length of time", "write it like 20ms or 5m"
		}
		return "not a valid " + k.Want, "correct it"
	case *kind.Pattern:
		if examples := examplesOf(schemas); len(examples) > 0 {
			return "not written as it must be", "write it like " + oneOf(examples)
		}
		return "does not have the form " + k.Want, "correct it"
	case *kind.MinLength:
		return "too short", fmt.Sprintf("write at least %d characters", k.Want)
	case *kind.MaxLength:
		return "too long", fmt.Sprintf("write at most %d characters", k.Want)
	case *kind.Minimum:
		return "too small", "write at least " + k.Want.RatString()
	case *kind.Maximum:
		return "too large", "write at most " + k.Want.RatString()
	case *kind.MinItems:
		return "too few items", fmt.Sprintf("write at least %d", k.Want)
	case *kind.MaxItems:
		return "too many items", fmt.Sprintf("write at most %d", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are the same", k.Duplicates[0], k.Duplicates[1]), "delete one of them"
	default:
		leaf := &jsonschema.ValidationError{SchemaURL: e.SchemaURL, ErrorKind: e.ErrorKind}
		return strings.TrimPrefix(leaf.Error(), "at '': "), "see the adapter's README"
	}
}

var typeNames = map[string]string{
	"null":    "nothing",
	"boolean": "true or false",
	"number":  "a number",
	"integer": "a whole number",
	"string":  "text",
	"array":   "a list",
	"object":  "keys with values",
}

var typeAdvice = map[string]string{
	"boolean": "write true or false without quotes",
	"number":  "write digits without quotes",
	"integer": "write digits without quotes",
	"string":  "write it in quotes",
	"array":   "begin each item with - or write [a, b]",
	"object":  "write key: value pairs, indented, or {key: value}",
}

func wrongType(k *kind.Type) (why, do string) {
	want := make([]string, len(k.Want))
	for i, t := range k.Want {
		want[i] = typeNames[t]
	}
	why = fmt.Sprintf("this is %s, not %s", typeNames[k.Got], oneOf(want))
	do = typeAdvice[k.Want[0]]
	if (k.Got == "array" || k.Got == "object") && k.Want[0] != "array" && k.Want[0] != "object" {
		do = "write one value"
	}
	return why, do
}

// show returns a value for people, nothing for secrets and for what has parts.
func (r *resolver) show(key string, value any) string {
	if r.hidden[key] {
		return ""
	}
	switch v := value.(type) {
	case string:
		return shorten(v)
	case json.Number, bool:
		return fmt.Sprint(v)
	default:
		return ""
	}
}

// describe returns the first description that schemas have.
func describe(schemas []*jsonschema.Schema) string {
	for _, s := range schemas {
		if s.Description != "" {
			return s.Description
		}
	}
	return ""
}

// examplesOf returns the first examples that schemas have.
func examplesOf(schemas []*jsonschema.Schema) []string {
	for _, s := range schemas {
		if len(s.Examples) > 0 {
			words := make([]string, len(s.Examples))
			for i, example := range s.Examples {
				words[i] = fmt.Sprint(example)
			}
			return words
		}
	}
	return nil
}
