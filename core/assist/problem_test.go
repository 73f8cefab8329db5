package assist

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestProfileStep: the first request that fails says what to mend, with an emulator
// what that was to be started with.
func TestProfileStep(t *testing.T) {
	for _, tt := range []struct {
		code     codes.Code
		insecure bool
		want     []string
		not      string
	}{
		{codes.InvalidArgument, false, []string{`routes[].profile = "demo"`, `google.location = "global"`}, "language"},
		{codes.NotFound, false, []string{`routes[].profile = "demo"`}, "--project"},
		{codes.NotFound, true, []string{`routes[].profile = "demo"`, "--project p --profile demo"}, ""},
		{codes.PermissionDenied, false, []string{clientRole}, "--project p"},
		{codes.PermissionDenied, true, []string{clientRole, "--project p"}, ""},
		{codes.Unavailable, true, []string{"localhost:1", "`patchbay emulator`"}, ""},
		{codes.Unavailable, false, []string{"localhost:1"}, "emulator"},
	} {
		c := Conversation{Google: Google{Project: "p", Endpoint: "localhost:1", Insecure: tt.insecure}, Profile: "demo"}
		text := c.explain(stepProfile, status.Error(tt.code, "no")).Text
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v, insecure %v: %q; want %q in it", tt.code, tt.insecure, text, want)
			}
		}
		if tt.not != "" && strings.Contains(text, tt.not) {
			t.Errorf("%v, insecure %v: %q; want nothing of %q", tt.code, tt.insecure, text, tt.not)
		}
		if after := c.explain(stepStream, status.Error(tt.code, "no")).Text; strings.Contains(after, "emulator") {
			t.Errorf("%v while streaming: %q; want no word of an emulator", tt.code, after)
		}
	}
}
