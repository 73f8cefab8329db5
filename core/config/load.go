package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/patchbay/patchbay/core/adapter"
)

// MaxFileBytes bounds a configuration file: thousands of routes fit.
const MaxFileBytes = 4 << 20

// Load reads the file at path, fills in defaults, resolves secrets with lookupEnv
// (os.LookupEnv in main) and checks that every file it names is there. Relative paths
// in it start at its folder. With mistakes the error is an *Error that holds all of
// them. Settings of adapters are left to AdapterSettings, which needs their schema.
func Load(path string, lookupEnv func(string) (string, bool)) (*Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	_ = file.Close() // it was only read
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(data, path, Secrets{LookupEnv: lookupEnv, Dir: dir})
}

// Parse does what Load does for the content of a file; name stands in its errors.
func Parse(data []byte, name string, secrets Secrets) (*Config, error) {
	c := Default()
	c.source = source{file: name, secrets: secrets}
	if len(data) > MaxFileBytes {
		return nil, c.Locate(adapter.Problems{{
			Why: fmt.Sprintf("the file is larger than %v", Bytes(MaxFileBytes)), Do: "is it a configuration?"}})
	}
	root, err := document(data, name)
	if err != nil {
		return nil, err
	}
	if root != nil {
		r := reader{lines: map[string]int{}}
		r.read(root, "", &c)
		c.source.lines = r.lines
		// What follows would complain about the same mistakes in other words.
		if err := c.source.error(r.problems); err != nil {
			return nil, err
		}
	}
	c.fillRoutes()
	problems := c.problems()
	c.openFiles(&problems)
	if err := c.Locate(problems); err != nil {
		return nil, err
	}
	return &c, nil
}

// document returns the only document of a YAML file, nil when the file says nothing.
func document(data []byte, name string) (*yaml.Node, error) {
	broken := func(line int, why, do string) error {
		return &Error{File: name, Problems: []Problem{{adapter.Problem{Why: why, Do: do}, line}}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		line, why := yamlFault(err)
		return nil, broken(line, "not YAML: "+why, "look at indentation, colons and quotes there and in the next line")
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, broken(second.Line, "a second document begins", "delete the line --- and write one document")
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		return doc.Content[0], nil
	}
	return &doc, nil
}

// yamlFault takes "yaml: line 3: why" apart.
func yamlFault(err error) (line int, why string) {
	why = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(why, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return n, text
			}
		}
	}
	return 0, why
}

// openFiles makes paths absolute, resolves the host's secrets and adds a problem for
// each file or variable that is not there.
func (c *Config) openFiles(problems *adapter.Problems) {
	dir := c.source.secrets.Dir
	file := func(key string, path *string) {
		if *path == "" {
			return
		}
		*path = absolute(dir, *path)
		if f := readable(*path); f != nil {
			problems.Add(key, "", f.why, f.do)
		}
	}
	certificate := func(key string, t *TLS) {
		if t != nil {
			file(key+".cert", &t.Cert)
			file(key+".key", &t.Key)
		}
	}
	if ref := c.API.Token.Ref; isReference(ref) {
		value, f := c.source.secrets.resolve(ref)
		if f != nil {
			problems.Add("api.token", ref, f.why, f.do)
		}
		c.API.Token.Value = adapter.Secret(value)
	}
	if ref := c.Spool.Key.Ref; isReference(ref) && !c.Spool.Off {
		value, f := c.source.secrets.resolve(ref)
		if f != nil {
			problems.Add("spool.key", ref, f.why, f.do)
		}
		c.Spool.Key.Value = adapter.Secret(value)
	}
	c.Spool.Dir = absolute(dir, c.Spool.Dir)
	c.Spool.KeyFile = absolute(dir, c.Spool.KeyFile)
	certificate("api.tls", c.API.TLS)
	file("google.credentials", &c.Google.Credentials)
	c.PluginDir = absolute(dir, c.PluginDir)
	for i := range c.Adapters {
		a := &c.Adapters[i]
		certificate(at("adapters", i)+".tls", a.TLS)
		if isPath(a.Plugin) {
			a.Plugin = absolute(dir, a.Plugin)
		}
	}
	for i := range c.Routes {
		file(at("routes", i)+".credentials", &c.Routes[i].Credentials)
	}
}
