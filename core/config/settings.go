package config

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Settings is the settings block of an adapter as the tree that JSON would hold: map,
// slice, string, json.Number, bool and nil. A number that JSON would write otherwise
// (+15550100, 007, 0x10) stays the string it is, so that telephone numbers need no
// quotes.
type Settings map[string]any

// tree turns a YAML tree into one of JSON.
func (r *reader) tree(n *yaml.Node, key string) any {
	if !r.plain(n, key) {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		r.mapping(n, key, func(name string, child *yaml.Node, childKey string) {
			out[name] = r.tree(child, childKey)
		})
		return out
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			r.lines[at(key, i)] = item.Line
			out[i] = r.tree(item, at(key, i))
		}
		return out
	default:
		return scalarOf(n)
	}
}

func scalarOf(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if isJSONNumber(n.Value) {
			return json.Number(n.Value)
		}
	}
	return n.Value
}

// isJSONNumber says whether text is a number in JSON and means the same number there
// as in YAML.
func isJSONNumber(text string) bool {
	if !json.Valid([]byte(text)) {
		return false
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return true
	}
	_, ok := new(big.Int).SetString(text, 10)
	return ok
}

// MarshalYAML writes numbers as numbers.
func (s Settings) MarshalYAML() (any, error) { return yamlTree(map[string]any(s)), nil }

func yamlTree(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, child := range v {
			out[k] = yamlTree(child)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, child := range v {
			out[i] = yamlTree(child)
		}
		return out
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
	default:
		return v
	}
}
