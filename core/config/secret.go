package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/patchbay/patchbay/core/adapter"
)

// Secret is a secret of the host: a reference in the file, "env:NAME" or "file:PATH",
// and the value that Load found behind it.
type Secret struct {
	Ref   string
	Value adapter.Secret
}

// MarshalText writes the reference, never the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.Ref), nil }

// UnmarshalText takes the reference.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret{Ref: string(text)}
	return nil
}

// maxSecretBytes bounds the file behind a secret; private keys take a few thousand bytes.
const maxSecretBytes = 64 << 10

// Secrets resolves references.
type Secrets struct {
	LookupEnv func(string) (string, bool) // os.LookupEnv, in main; nil has no variables
	Dir       string                      // relative paths start here; empty is the working directory
}

// fault is half a problem: what is wrong and what to do, without key and value.
type fault struct{ why, do string }

const (
	envPrefix  = "env:"
	filePrefix = "file:"
)

// isReference says whether a string names a secret rather than being one.
func isReference(ref string) bool {
	return strings.HasPrefix(ref, envPrefix) || strings.HasPrefix(ref, filePrefix)
}

// literal is what is said about a secret that stands in the file.
var literal = fault{"a secret must not stand in the file", "put it into the environment or a file and write env:NAME or file:PATH here"}

// Resolve returns the secret behind a reference that did not come from a
// configuration file. Its errors are one line for people, without the secret.
func (s Secrets) Resolve(ref string) (adapter.Secret, error) {
	value, f := s.resolve(ref)
	if f != nil {
		return "", fmt.Errorf("%s; %s", f.why, f.do)
	}
	return adapter.Secret(value), nil
}

// resolve returns the value behind a reference. A line end at a file's end is not part of it.
func (s Secrets) resolve(ref string) (string, *fault) {
	name, isEnv := strings.CutPrefix(ref, envPrefix)
	path, isFile := strings.CutPrefix(ref, filePrefix)
	switch {
	case isEnv && name == "":
		return "", &fault{"env: names no variable", "write env:NAME"}
	case isEnv:
		return s.fromEnv(name)
	case isFile && path == "":
		return "", &fault{"file: names no file", "write file:PATH"}
	case isFile:
		return s.fromFile(absolute(s.Dir, path))
	default:
		return "", &literal
	}
}

func (s Secrets) fromEnv(name string) (string, *fault) {
	var value string
	var ok bool
	if s.LookupEnv != nil {
		value, ok = s.LookupEnv(name)
	}
	switch {
	case !ok:
		return "", &fault{fmt.Sprintf("the environment variable %q is not set", name), "set it before the start"}
	case value == "":
		return "", &fault{fmt.Sprintf("the environment variable %q is empty", name), "set it before the start"}
	}
	return value, nil
}

func (s Secrets) fromFile(path string) (string, *fault) {
	if f := readable(path); f != nil {
		return "", f
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fileFault(path, err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	_ = file.Close() // it was only read
	value := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		return "", fileFault(path, err)
	case len(data) > maxSecretBytes:
		return "", &fault{fmt.Sprintf("the file %s is larger than %v", printable(path), Bytes(maxSecretBytes)), "name the file that holds the secret alone"}
	case value == "":
		return "", &fault{fmt.Sprintf("the file %s is empty", printable(path)), "write the secret into it"}
	}
	return value, nil
}

// readable says why path is not a file that can be opened, or nil. It opens nothing
// that could block, such as a pipe.
func readable(path string) *fault {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fileFault(path, err)
	case !info.Mode().IsRegular():
		return &fault{printable(path) + " is not a file", "name a file"}
	}
	return nil
}

func fileFault(path string, err error) *fault {
	path = printable(path)
	switch {
	case os.IsNotExist(err):
		return &fault{"there is no file " + path, "create it, or correct the path"}
	case os.IsPermission(err):
		return &fault{path + " may not be read", "give patchbay's user the right to read it"}
	default:
		return &fault{path + " cannot be read", "name another file"}
	}
}

// printable puts a path in quotes when it would not show as it is.
func printable(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}

// absolute returns path seen from dir.
func absolute(dir, path string) string {
	if path == "" || dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
