package plug

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/patchbay/patchbay/core/adapter"
)

// schemaOf returns the JSON Schema (2020-12) of an adapter's settings: keys from
// the json tags, descriptions and bounds from jsonschema tags, secrets as strings
// with format "secret". No key is required, since the defaults fill in; Validate
// says what is missing. A type that contains itself is not supported.
func schemaOf[C adapter.Config]() ([]byte, error) {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper:                     mapSpecial,
	}
	t := reflect.TypeFor[C]()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	b, err := json.Marshal(r.ReflectFromType(t))
	if err != nil {
		return nil, fmt.Errorf("plug: schema of %v: %w", t, err)
	}
	return b, nil
}

func mapSpecial(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[adapter.Secret]():
		return &jsonschema.Schema{Type: "string", Format: "secret"}
	case reflect.TypeFor[adapter.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`, Examples: []any{"20ms", "5m"}}
	case reflect.TypeFor[time.Duration]():
		// A plain Duration would be written in nanoseconds; there is a type for people.
		panic("plug: settings use time.Duration; use adapter.Duration, which is written 20ms")
	}
	return nil
}

// decode returns the configuration that settings describe on top of the
// defaults, both JSON. Unknown keys and wrong types are Problems. Slices replace
// those of the defaults.
func decode[C adapter.Config](defaults, settings []byte) (C, error) {
	var c C
	if err := json.Unmarshal(defaults, &c); err != nil {
		return c, fmt.Errorf("plug: the adapter's own defaults: %w", err)
	}
	if len(bytes.TrimSpace(settings)) == 0 {
		return c, nil
	}
	d := json.NewDecoder(bytes.NewReader(settings))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, adapter.Problems{settingsProblem(err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, adapter.Problems{{Why: "settings are more than one JSON value", Do: "send one object"}}
	}
	return c, nil
}

// settingsProblem puts an error of encoding/json into words without the value,
// which may be a secret.
func settingsProblem(err error) adapter.Problem {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return adapter.Problem{Key: e.Field, Why: fmt.Sprintf("is a %s; want %v", e.Value, e.Type), Do: "correct it"}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return adapter.Problem{Key: strings.Trim(name, `"`), Why: "is no setting of this adapter", Do: "correct the name or remove it"}
	}
	return adapter.Problem{Why: "settings cannot be read: " + err.Error(), Do: "correct them"}
}
