package emulator

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
)

func TestParseFault(t *testing.T) {
	for text, want := range map[string]Fault{
		"cut":                                            {Kind: FaultCut},
		"stream-end:UNAVAILABLE@20s":                     {Kind: FaultStreamEnd, Code: codes.Unavailable, At: Moment{From: 20 * time.Second}},
		"stream-end:CANCELLED@5s-40s,chance=0.3":         {Kind: FaultStreamEnd, Code: codes.Canceled, At: Moment{From: 5 * time.Second, To: 40 * time.Second}, Chance: 0.3},
		"stuck@close,role=END_USER,stream=2":             {Kind: FaultStuck, At: Moment{Close: true}, Role: "END_USER", Stream: 2},
		"down@1m,for=10s,every=2m,times=3":               {Kind: FaultDown, At: Moment{From: time.Minute}, For: 10 * time.Second, Every: 2 * time.Minute, Times: 3},
		"rpc-lost:INTERNAL,method=CreateConversation":    {Kind: FaultRPCLost, Code: codes.Internal, Method: "CreateConversation"},
		" delay-final , for=1.5s , conversation=CA_1 ":   {Kind: FaultDelayFinal, For: 1500 * time.Millisecond, Conversation: "CA_1"},
		"drop-final@0s-10s":                              {Kind: FaultDropFinal, At: Moment{To: 10 * time.Second}},
		"suggestion-error:DEADLINE_EXCEEDED,chance=1e-3": {Kind: FaultSuggestionError, Code: codes.DeadlineExceeded, Chance: 0.001},
	} {
		got, err := ParseFault(text)
		if err != nil || got != want {
			t.Errorf("ParseFault(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                       "there is no fault",
		"explode":                                "there is no fault",
		"cut:INTERNAL":                           "takes no code",
		"rpc-error":                              "name its code",
		"stream-end:NOPE":                        `no code "NOPE"`,
		"stream-end@soon":                        `moment "soon"`,
		"stream-end@9s-3s":                       "moment",
		"stream-end@-3s":                         "moment",
		"stream-end@25h":                         "moment",
		"drop-final@close":                       "strike at close",
		"down":                                   "say how long",
		"down,for=-1s":                           "for is -1s",
		"down@5s,for=1s,every=-1s":               "every is -1s",
		"cut,every=1s":                           "every is 1s",
		"cut,chance=2":                           "chance is 2",
		"cut,chance=NaN":                         "chance is NaN",
		"cut,chance=often":                       "a value like 0.3",
		"cut,times=-1":                           "times is -1",
		"cut,when=now":                           `there is no "when"`,
		"cut,role=agent":                         "END_USER or HUMAN_AGENT",
		"down,for=1s,role=END_USER":              "on faults of streams",
		"restart,conversation=x":                 "take none",
		"rpc-error:INTERNAL,stream=1":            "only faults of streams",
		"rpc-error:INTERNAL@3s":                  "takes no moment",
		"rpc-error:INTERNAL,method=Create":       `method "Create"`,
		"rpc-delay,for=1s,method=StreamAnalysis": "method",
	} {
		if _, err := ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseFault(%q) = %v; want an error with %q", text, err, want)
		}
	}
}

func TestReadPlan(t *testing.T) {
	p, err := ReadPlan(strings.NewReader("seed: 7\nfaults:\n  - stream-end:UNAVAILABLE@5s-40s,chance=0.3\n  - down@60s,for=10s,every=2m\n"))
	if err != nil || p.Seed != 7 || len(p.Faults) != 2 || p.Faults[1].Every != 2*time.Minute {
		t.Errorf("ReadPlan = %+v, %v", p, err)
	}
	if p, err := ReadPlan(strings.NewReader("")); err != nil || !reflect.DeepEqual(p, Plan{}) {
		t.Errorf("an empty plan: %+v, %v", p, err)
	}
	for text, want := range map[string]string{
		"fault: []":           "fault",
		"faults: [cut, fly]":  `no fault "fly"`,
		"faults: [{kind: x}]": "cannot unmarshal",
		"seed: x":             "cannot unmarshal",
		"seed: 1\n---\n":      "more than one",
	} {
		if _, err := ReadPlan(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("ReadPlan(%q) = %v; want one line with %q", text, err, want)
		}
	}
	cfg := DefaultConfig()
	cfg.Faults.Faults = []Fault{{Kind: "fly"}}
	if _, err := New(cfg); err == nil {
		t.Error("New took a plan with a fault that there is not")
	}
}

// FuzzParseFault: what is read is written so that it is read the same.
func FuzzParseFault(f *testing.F) {
	f.Add("stream-end:UNAVAILABLE@5s-40s,chance=0.3,role=END_USER,stream=2")
	f.Add("down@1m,for=10s,every=2m,times=3")
	f.Add("rpc-lost:INTERNAL,method=CreateConversation,conversation=CA1")
	f.Add("stuck@close,for=3s")
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := ParseFault(text)
		if err != nil {
			return
		}
		if again, err := ParseFault(fault.String()); err != nil || again != fault {
			t.Errorf("%q is read as %+v, its text %q as %+v, %v", text, fault, fault, again, err)
		}
	})
}

// FuzzReadPlan: a plan that is read can be written and read again, and used.
func FuzzReadPlan(f *testing.F) {
	f.Add([]byte("seed: 7\nfaults:\n  - stream-end:UNAVAILABLE@5s-40s,chance=0.3\n  - cut\n"))
	f.Add([]byte("faults: [stuck@close]"))
	f.Add([]byte("seed: 1\n---\nseed: 2"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ReadPlan(bytes.NewReader(b))
		if err != nil {
			return
		}
		text, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadPlan(bytes.NewReader(text))
		if err != nil || again.Seed != p.Seed || !slices.Equal(again.Faults, p.Faults) || p.Validate() != nil {
			t.Errorf("%q is read as %+v, written as %q, read as %+v, %v", b, p, text, again, err)
		}
	})
}
