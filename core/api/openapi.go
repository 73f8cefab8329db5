package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// openAPIPath, with .json or .yaml behind it, is where the description lies.
const openAPIPath = "/openapi"

// routes returns the handlers of everything, and their description.
func (s *Server) routes(metrics http.Handler) (http.Handler, error) {
	mux := http.NewServeMux()
	spec := humago.New(mux, s.humaConfig())
	s.addCalls(spec)
	s.addPause(spec)
	s.addRole(spec)
	s.addExplain(spec)
	s.addTranscript(spec)
	s.addSuggestions(spec)
	s.addEvents(spec)
	s.addLeases(spec)
	s.addAdapters(spec)
	s.addHealth(spec)
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	if err := serveSpec(mux, spec.OpenAPI()); err != nil {
		return nil, err
	}
	return withProblems(mux), nil
}

// humaConfig has no documentation page (it would load scripts from elsewhere), and
// no description of its own, which is rendered once by serveSpec.
func (s *Server) humaConfig() huma.Config {
	cfg := huma.DefaultConfig("Patchbay", s.cfg.Version)
	cfg.Info.Description = "Calls on their way from contact-centre telephony to Agent Assist: what is said, what is suggested, and the account of every sample."
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks = nil // no $schema in answers
	cfg.Transformers = []huma.Transformer{sayWhatIsWrong}
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearer: {Type: "http", Scheme: "bearer", Description: "What api.token names. Not needed where the API serves loopback without a token."},
	}
	return cfg
}

// bearer is the name of the one security scheme.
const bearer = "bearer"

// schemaName names a type in the description: those of other packages carry the
// package's name, since call.Info and assist.Info are both Info.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	pkg := path.Base(t.PkgPath())
	if t.Name() == "" || !strings.HasPrefix(t.PkgPath(), modulePath) || pkg == "api" {
		return name
	}
	if prefix := strings.ToUpper(pkg[:1]) + pkg[1:]; prefix != name {
		return prefix + name
	}
	return name
}

const modulePath = "github.com/patchbay/patchbay/"

func serveSpec(mux *http.ServeMux, spec *huma.OpenAPI) error {
	asJSON, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("api: description: %w", err)
	}
	asYAML, err := spec.YAML()
	if err != nil {
		return fmt.Errorf("api: description: %w", err)
	}
	for ext, body := range map[string][]byte{"json": asJSON, "yaml": asYAML} {
		mux.HandleFunc("GET "+openAPIPath+"."+ext, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openapi+"+ext)
			_, _ = w.Write(body) // a client that has gone needs no answer
		})
	}
	return nil
}

// withProblems gives mux's own refusals (no such path, wrong method) the form of all others.
func withProblems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := &refusal{header: make(http.Header), status: http.StatusOK}
		refuse.ServeHTTP(refusal, r)
		switch refusal.status {
		case http.StatusNotFound:
			writeProblem(w, refusal.status, "there is nothing here; "+openAPIPath+".json says what there is")
		case http.StatusMethodNotAllowed:
			allow := refusal.header.Get("Allow")
			w.Header().Set("Allow", allow)
			writeProblem(w, refusal.status, r.Method+" is not possible here, only "+allow)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// refusal is what mux would answer, without its words.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) WriteHeader(status int)      { r.status = status }
func (r *refusal) Write(p []byte) (int, error) { return len(p), nil }

// operation is what all operations have in common.
func operation(id, method, path, tag, summary, description string, errors ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Tags: []string{tag}, Summary: summary, Description: description,
		Security:     []map[string][]string{{bearer: {}}},
		MaxBodyBytes: MaxBodyBytes,
		Errors:       append(errors, http.StatusUnauthorized, http.StatusForbidden),
	}
}
