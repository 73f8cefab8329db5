package assist

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	_ "cloud.google.com/go/dialogflow/apiv2/dialogflowpb" // the descriptors of v2; v2beta1's are linked by the rest
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// AllowCalls in a list of methods stands for all that a client needs for its calls:
// Conversations, Participants and AnswerRecords, and reading of ConversationProfiles.
// AllowAll also lets it change profiles.
const (
	AllowCalls = "calls"
	AllowAll   = "all"
)

// relayed are the services that clients may use, in either version.
var relayed = []string{"Conversations", "Participants", "ConversationProfiles", "AnswerRecords"}

// methodOf splits "/google.cloud.dialogflow.v2beta1.Participants/AnalyzeContent".
func methodOf(full string) (service, method string, ok bool) {
	pkg, method, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	service, ok = strings.CutPrefix(pkg, "google.cloud.dialogflow.v2.")
	if !ok {
		service, ok = strings.CutPrefix(pkg, "google.cloud.dialogflow.v2beta1.")
	}
	return service, method, ok && slices.Contains(relayed, service)
}

// Allows reports whether a list of methods allows one.
func Allows(list []string, full string) bool {
	service, method, ok := methodOf(full)
	if !ok {
		return false
	}
	for _, entry := range list {
		switch entry {
		case AllowAll, service, method, service + "/" + method:
			return true
		case AllowCalls:
			if service != "ConversationProfiles" || strings.HasPrefix(method, "Get") || strings.HasPrefix(method, "List") {
				return true
			}
		}
	}
	return false
}

// Relays reports whether an entry of a list of methods allows anything at all.
func Relays(entry string) bool {
	for _, version := range []string{"v2", "v2beta1"} {
		for _, service := range relayed {
			d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("google.cloud.dialogflow." + version + "." + service))
			if err != nil {
				continue
			}
			methods := d.(protoreflect.ServiceDescriptor).Methods()
			for i := range methods.Len() {
				if Allows([]string{entry}, fmt.Sprintf("/%s/%s", d.FullName(), methods.Get(i).Name())) {
					return true
				}
			}
		}
	}
	return false
}

// ReadUnary reads a client's unary call, as far as it must be known to be relayed: the
// resources that it names, and where Google routes it.
func ReadUnary(full string, request []byte) (u Unary, names []string, err error) {
	service, method, ok := methodOf(full)
	if !ok {
		return u, nil, fmt.Errorf("%s is not relayed", full)
	}
	pkg := strings.TrimPrefix(full[:strings.LastIndexByte(full, '/')], "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(pkg))
	if err != nil {
		return u, nil, fmt.Errorf("service %s is unknown", service)
	}
	m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	if m == nil || m.IsStreamingClient() || m.IsStreamingServer() {
		return u, nil, fmt.Errorf("%s has no unary method %s", service, method)
	}
	message := dynamicpb.NewMessage(m.Input())
	if err := proto.Unmarshal(request, message); err != nil {
		return u, nil, fmt.Errorf("the request is no %s", m.Input().Name())
	}
	names, err = resources(message)
	return Unary{Method: full, Request: request, Routing: routing(m, message)}, names, err
}

// resourceForm is what counts as the name of a resource; text for people has blanks.
var resourceForm = regexp.MustCompile(`^(//[a-z0-9.-]+/)?projects/[^\s]*$`)

// resources returns every string of a message that names something in a project.
func resources(m proto.Message) (names []string, err error) {
	see := func(s string) {
		if resourceForm.MatchString(s) {
			names = append(names, s[strings.Index(s, "projects/"):])
		}
	}
	err = protorange.Range(m.ProtoReflect(), func(p protopath.Values) error {
		last := p.Index(-1)
		switch v := last.Value.Interface().(type) {
		case string:
			see(v)
		case protoreflect.Message:
			if strings.Contains(string(v.GetUnknown()), "projects/") {
				return fmt.Errorf("%s has a field that patchbay does not know and that names a project; update patchbay", v.Descriptor().Name())
			}
		case protoreflect.Map:
			v.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
				see(k.String())
				return true
			})
		}
		return nil
	})
	return names, err
}

// routing is the header by which Google finds the region of a request: the fields of its
// path (google.api.http).
func routing(m protoreflect.MethodDescriptor, message protoreflect.Message) string {
	rule, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok {
		return ""
	}
	var out []string
	seen := map[string]bool{}
	for _, binding := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
		path := binding.GetGet() + binding.GetPost() + binding.GetPatch() + binding.GetDelete() + binding.GetPut()
		for _, found := range pathField.FindAllStringSubmatch(path, -1) {
			if field := found[1]; !seen[field] {
				seen[field] = true
				if v := fieldAt(message, field); v != "" {
					out = append(out, field+"="+url.QueryEscape(v))
				}
			}
		}
	}
	return strings.Join(out, "&")
}

var pathField = regexp.MustCompile(`\{([a-z_.]+)=`)

// fieldAt returns the string at a path such as "participant.name".
func fieldAt(m protoreflect.Message, path string) string {
	name, rest, more := strings.Cut(path, ".")
	f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
	switch {
	case f == nil || f.IsList() || f.IsMap():
		return ""
	case more && f.Message() != nil:
		return fieldAt(m.Get(f).Message(), rest)
	case !more && f.Kind() == protoreflect.StringKind:
		return m.Get(f).String()
	}
	return ""
}

// ProjectOf returns the project and location of a resource's name; the location is empty
// where the name has none.
func ProjectOf(name string) (project, location string) {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || parts[0] != "projects" {
		return "", ""
	}
	if len(parts) >= 4 && parts[2] == "locations" {
		location = parts[3]
	}
	return parts[1], location
}

// Contains reports whether a resource lies in the project and location of g.
func (g Google) Contains(name string) bool {
	project, location := ProjectOf(name)
	return project == g.Project && (location == "" || location == g.location()) && !strings.Contains(name, "..")
}
