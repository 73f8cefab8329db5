package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/patchbay/patchbay/core/adapter"
)

// SettingsKey returns the key of the settings of adapter i. A plugin's own problems
// have keys that begin below it: c.Locate(problems.Under(SettingsKey(i))).
func SettingsKey(i int) string { return at("adapters", i) + ".settings" }

// AdapterSettings returns the settings of adapter i as JSON for its plugin, checked
// against the schema that the plugin states. The result holds secrets. With mistakes
// the error is an *Error that holds all of them.
func (c *Config) AdapterSettings(i int, schema json.RawMessage) (json.RawMessage, error) {
	settings, problems := ResolveSettings(SettingsKey(i), c.Adapters[i].Settings, schema, c.source.secrets)
	return settings, c.Locate(problems)
}

// secretFormat marks a secret in a plugin's schema: {"type": "string", "format": "secret"}.
const secretFormat = "secret"

// ResolveSettings checks settings against a plugin's JSON schema and puts the values
// in the place of references to secrets, which are the strings of format "secret". A
// length of time has the format "duration" and is written 20ms. Without a schema
// settings pass as they are. Every problem has the key of its mistake, which begins
// with key, the place of the settings in the file.
func ResolveSettings(key string, settings map[string]any, schema json.RawMessage, secrets Secrets) (json.RawMessage, adapter.Problems) {
	if settings == nil {
		settings = map[string]any{}
	}
	r := resolver{root: key, secrets: secrets, hidden: map[string]bool{}}
	tree, err := normal(settings)
	if err != nil {
		r.problems.Add(key, "", "cannot be written as JSON", "write words, numbers, lists and keys alone")
		return nil, r.problems
	}
	if len(schema) > 0 {
		compiled, err := compile(schema)
		if err != nil {
			r.problems.Add(key, "", fmt.Sprintf("the plugin states a schema that cannot be used: %v", err), "take another version of the plugin")
			return nil, r.problems
		}
		tree = r.value(flatten(compiled), tree, key)
		if failed, ok := errors.AsType[*jsonschema.ValidationError](compiled.Validate(tree)); ok {
			r.explain(compiled, tree, failed)
		}
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	out, err := json.Marshal(tree)
	if err != nil {
		r.problems.Add(key, "", "cannot be written as JSON", "write words, numbers, lists and keys alone")
		return nil, r.problems
	}
	return out, nil
}

// normal returns a copy of a tree with the types that JSON has.
func normal(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(data))
}

// noLoader keeps a schema from reading files and URLs.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s outside itself", url)
}

func compile(schema json.RawMessage) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	const url = "settings:schema"
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: secretFormat, Validate: func(any) error { return nil }}) // resolver does it
	c.RegisterFormat(&jsonschema.Format{Name: "duration", Validate: isDuration})
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	return c.Compile(url)
}

func isDuration(v any) error {
	if s, ok := v.(string); ok {
		_, err := time.ParseDuration(s)
		return err
	}
	return nil
}

// resolver walks settings beside their schema.
type resolver struct {
	root     string
	secrets  Secrets
	hidden   map[string]bool // keys of secrets: no value of theirs is ever shown
	problems adapter.Problems
}

// value returns v with secrets resolved and empty values left out.
func (r *resolver) value(schemas []*jsonschema.Schema, v any, key string) any {
	if isSecret(schemas) {
		return r.secret(v, key)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			child := property(schemas, name)
			if v[name] == nil && len(child) > 0 {
				delete(v, name) // nothing written leaves the default
				continue
			}
			v[name] = r.value(child, v[name], under(key, name))
		}
	case []any:
		for i := range v {
			v[i] = r.value(item(schemas, i), v[i], at(key, i))
		}
	}
	return v
}

func (r *resolver) secret(v any, key string) any {
	r.hidden[key] = true
	ref, ok := v.(string)
	if ok && ref == "" {
		return ref // an optional secret that is not there
	}
	if !ok || !isReference(ref) {
		r.problems.Add(key, "", literal.why, literal.do)
		return ""
	}
	value, f := r.secrets.resolve(ref)
	if f != nil {
		r.problems.Add(key, ref, f.why, f.do)
	}
	return value
}

func isSecret(schemas []*jsonschema.Schema) bool {
	return slices.ContainsFunc(schemas, func(s *jsonschema.Schema) bool {
		return s.Format != nil && s.Format.Name == secretFormat
	})
}

// flatten returns the schemas that speak about the same value as s does.
func flatten(s *jsonschema.Schema) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	var add func(*jsonschema.Schema)
	add = func(s *jsonschema.Schema) {
		if s == nil || slices.Contains(out, s) {
			return
		}
		out = append(out, s)
		add(s.Ref)
		add(s.If)
		add(s.Then)
		add(s.Else)
		for _, group := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
			for _, member := range group {
				add(member)
			}
		}
	}
	add(s)
	return out
}

// property returns the schemas that speak about an object's property.
func property(schemas []*jsonschema.Schema, name string) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, s := range schemas {
		named := false
		if child, ok := s.Properties[name]; ok {
			out, named = append(out, flatten(child)...), true
		}
		for pattern, child := range s.PatternProperties {
			if pattern.MatchString(name) {
				out, named = append(out, flatten(child)...), true
			}
		}
		if child, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && !named {
			out = append(out, flatten(child)...)
		}
	}
	return out
}

// item returns the schemas that speak about a list's item.
func item(schemas []*jsonschema.Schema, i int) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, s := range schemas {
		switch {
		case i < len(s.PrefixItems):
			out = append(out, flatten(s.PrefixItems[i])...)
		case s.Items2020 != nil:
			out = append(out, flatten(s.Items2020)...)
		}
		switch items := s.Items.(type) {
		case *jsonschema.Schema:
			out = append(out, flatten(items)...)
		case []*jsonschema.Schema:
			if i < len(items) {
				out = append(out, flatten(items[i])...)
			}
		}
	}
	return out
}

// names returns the properties that schemas name.
func names(schemas []*jsonschema.Schema) []string {
	all := map[string]bool{}
	for _, s := range schemas {
		for name := range s.Properties {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
