package emulator

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	pb "cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
)

// Plan is a list of faults and the seed of their chances and moments. The same
// plan and the same calls give the same faults, whatever the order in which the
// calls run: each draw depends on the seed, the fault, the conversation's id, the
// role, the number of the stream and that of the occasion. Only Times is shared,
// and goes to who comes first.
type Plan struct {
	Seed   uint64  `json:"seed,omitempty" yaml:"seed,omitempty"`
	Faults []Fault `json:"faults,omitempty" yaml:"faults,omitempty"`
}

// Validate reports every problem of every fault.
func (p Plan) Validate() error {
	var problems []error
	for _, f := range p.Faults {
		problems = append(problems, f.Validate())
	}
	return errors.Join(problems...)
}

// ReadPlan reads a plan in YAML and validates it:
//
//	seed: 7
//	faults:
//	  - stream-end:UNAVAILABLE@5s-40s,chance=0.3
//	  - down@60s,for=10s,every=2m
func ReadPlan(r io.Reader) (Plan, error) {
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	var p Plan
	if err := d.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return Plan{}, fmt.Errorf("emulator: plan of faults: %s", strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "yaml: "))
	}
	if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return Plan{}, errors.New("emulator: plan of faults: it has more than one document")
	}
	if err := p.Validate(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// UnmarshalYAML reads the text form alone: no map of fields.
func (f *Fault) UnmarshalYAML(n *yaml.Node) error {
	var text string
	if err := n.Decode(&text); err != nil {
		return err
	}
	return f.UnmarshalText([]byte(text))
}

// unaryMethods are the names of the RPCs that faults can be ordered for.
var unaryMethods = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, d := range []grpc.ServiceDesc{
		pb.Conversations_ServiceDesc, pb.Participants_ServiceDesc, pb.ConversationProfiles_ServiceDesc, pb.AnswerRecords_ServiceDesc,
	} {
		for _, m := range d.Methods {
			names[m.MethodName] = true
		}
	}
	return names
})
