package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/patchbay/patchbay/core/adapter"
)

// reader fills a value from a YAML tree and remembers the line of every key. Where
// yaml's own decoder stops or words a mistake for programmers, it goes on and adds a
// problem.
type reader struct {
	lines    map[string]int
	problems []Problem
}

// read fills what to points at.
func (r *reader) read(n *yaml.Node, key string, to any) {
	r.value(n, key, reflect.ValueOf(to).Elem())
}

func (r *reader) value(n *yaml.Node, key string, v reflect.Value) {
	if _, ok := r.lines[key]; !ok {
		r.lines[key] = n.Line // a key has the line of its name, a list's item its own
	}
	if !r.plain(n, key) || n.ShortTag() == "!!null" {
		return // nothing written leaves the default
	}
	if v.Type() == reflect.TypeFor[Settings]() {
		if r.kind(n, yaml.MappingNode, key) {
			v.Set(reflect.ValueOf(Settings(r.tree(n, key).(map[string]any))))
		}
		return
	}
	if isScalar(v) {
		r.scalar(n, key, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(n, key, v.Elem())
	case reflect.Struct:
		r.structure(n, key, v)
	case reflect.Slice:
		if r.kind(n, yaml.SequenceNode, key) {
			v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
			for i, item := range n.Content {
				r.value(item, at(key, i), v.Index(i))
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		r.mapping(n, key, func(name string, child *yaml.Node, childKey string) {
			item := reflect.New(v.Type().Elem()).Elem()
			r.value(child, childKey, item)
			v.SetMapIndex(reflect.ValueOf(name), item)
		})
	}
}

// structure fills a struct whose fields carry yaml names.
func (r *reader) structure(n *yaml.Node, key string, v reflect.Value) {
	fields, known := map[string]int{}, []string(nil)
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); name != "" {
			fields[name] = i
			known = append(known, name)
		}
	}
	r.mapping(n, key, func(name string, child *yaml.Node, childKey string) {
		i, ok := fields[name]
		if !ok {
			why, do := unknownKey(name, known)
			r.add(r.lines[childKey], childKey, "", why, do)
			return
		}
		r.value(child, childKey, v.Field(i))
	})
}

// mapping calls each for the pairs of a mapping.
func (r *reader) mapping(n *yaml.Node, key string, each func(name string, child *yaml.Node, childKey string)) {
	if !r.kind(n, yaml.MappingNode, key) {
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, child := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || !r.plain(name, key) {
			r.add(name.Line, key, "", "a key that is not a word", "write key: value")
			continue
		}
		childKey := under(key, name.Value)
		if first, ok := seen[name.Value]; ok {
			r.add(name.Line, childKey, "", fmt.Sprintf("written twice, first in line %d", first), "delete one of them")
			continue
		}
		seen[name.Value] = name.Line
		r.lines[childKey] = name.Line
		each(name.Value, child, childKey)
	}
}

func (r *reader) add(line int, key, value, why, do string) {
	r.problems = append(r.problems, Problem{adapter.Problem{Key: key, Value: value, Why: why, Do: do}, line})
}

// isScalar says whether a value is written as one word.
func isScalar(v reflect.Value) bool {
	_, text := v.Addr().Interface().(interface{ UnmarshalText([]byte) error })
	return text || v.Kind() == reflect.String || v.Kind() == reflect.Bool || v.CanInt() || v.CanFloat()
}

// scalar fills a word, number, duration or amount.
func (r *reader) scalar(n *yaml.Node, key string, v reflect.Value) {
	if !r.kind(n, yaml.ScalarNode, key) {
		return
	}
	if err := n.Decode(v.Addr().Interface()); err == nil && (v.Kind() != reflect.Bool || n.ShortTag() == "!!bool") {
		return
	}
	var why, do string
	switch v.Interface().(type) {
	case time.Duration:
		why, do = "not a length of time", "write it like 20ms or 5m"
	case Bytes:
		why, do = errBytes.Error(), "write it like 512KiB or 2MiB"
	case bool:
		why, do = "neither true nor false", "write true or false"
	case float64:
		why, do = "not a number", "write it like 0.25"
	default:
		why, do = "not a whole number", "write digits alone"
	}
	r.add(n.Line, key, shorten(n.Value), why, do)
}

// plain refuses what the file may not use: tags, anchors and aliases.
func (r *reader) plain(n *yaml.Node, key string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.add(n.Line, key, "", "anchors (&) and aliases (*) are not understood here", "write the value out, in quotes if it begins with such a sign")
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n.Line, key, "", fmt.Sprintf("the tag %s is not understood here", n.Tag), "write the value alone, in quotes if it begins with !")
	default:
		return true
	}
	return false
}

var kindNames = map[yaml.Kind]string{
	yaml.MappingNode:  "keys with values",
	yaml.SequenceNode: "a list",
	yaml.ScalarNode:   "one value",
}

var kindAdvice = map[yaml.Kind]string{
	yaml.MappingNode:  "write key: value pairs, indented, or {key: value}",
	yaml.SequenceNode: "begin each item with - or write [a, b]",
	yaml.ScalarNode:   "write it on one line after the colon",
}

func (r *reader) kind(n *yaml.Node, want yaml.Kind, key string) bool {
	if n.Kind == want {
		return true
	}
	value := ""
	if n.Kind == yaml.ScalarNode && want != yaml.ScalarNode {
		value = shorten(n.Value)
	}
	r.add(n.Line, key, value, fmt.Sprintf("this is %s, not %s", kindNames[n.Kind], kindNames[want]), kindAdvice[want])
	return false
}
