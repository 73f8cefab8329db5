package assist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/googleapis/gax-go/v2/apierror"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/event"
)

// reaction is what a session does about an error.
type reaction uint8

const (
	refuse reaction = iota // an operator must act: keep the audio, look again each minute
	look                   // the conversation or participant may be over: look before the next try
	doubt                  // probably for good: try a few times, then refuse
	rotate                 // the stream reached a limit: open the next at once
	retry                  // try again with growing pauses
	wait                   // a quota is used up: the governor says when to go on
)

// reactions is the table of protocol facts: what each code means on a stream. OUT_OF_RANGE
// is Speech-to-Text v1's limit of a stream's life, or audio too slow; ABORTED is v2's.
// What it does not name is refused.
var reactions = map[codes.Code]reaction{
	codes.OutOfRange:         rotate,
	codes.Aborted:            rotate,
	codes.Unavailable:        retry,
	codes.DeadlineExceeded:   retry,
	codes.Canceled:           retry,
	codes.Internal:           retry,
	codes.Unknown:            retry,
	codes.DataLoss:           retry,
	codes.ResourceExhausted:  wait,
	codes.FailedPrecondition: look, // completed, or the participant's last stream lingers
	codes.NotFound:           look,
	codes.Unauthenticated:    doubt, // the token may have expired on the way
	codes.InvalidArgument:    refuse,
	codes.PermissionDenied:   refuse,
	codes.Unimplemented:      refuse,
}

func react(err error) reaction {
	if errors.Is(err, errPoolClosed) || errors.Is(err, errCredentials) {
		return refuse
	}
	return reactions[codeOf(err)]
}

// permanent reports whether trying a unary call again soon is no use.
func permanent(err error) bool {
	switch react(err) {
	case refuse, look, doubt:
		return true
	}
	return false
}

// mendable reports whether an error concerns the credentials: it is the same for
// all sessions of a Google until somebody mends them.
func mendable(err error) bool {
	c := codeOf(err)
	return c == codes.PermissionDenied || c == codes.Unauthenticated
}

// breaks reports whether err says that Google does not serve us at all: it is down,
// or the credentials are refused.
func breaks(err error) bool {
	return err != nil && (react(err) == retry || mendable(err))
}

// codeOf returns the gRPC code of err, also of errors of contexts.
func codeOf(err error) codes.Code {
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return codes.Unknown
}

// codeName is the code as Google writes it: "RESOURCE_EXHAUSTED".
func codeName(err error) string { return rpccode.Code(codeOf(err)).String() }

// ignoreEOF hides the error of a send on a stream that has ended: recv says why.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Role that each identity of patchbay needs in the Google project.
const clientRole = "roles/dialogflow.agentAssistClient"

// Words of event.Problem.Code.
const (
	codeNoCredentials  = "no_credentials"
	codeProfile        = "profile_not_found"
	codeNoFeatures     = "profile_without_features"
	codeAPIDisabled    = "api_disabled"
	codeQuotaProject   = "quota_project"
	codePermission     = "permission_denied"
	codeUnauthentic    = "unauthenticated"
	codeInvalid        = "invalid_argument"
	codeQuota          = "quota_exhausted"
	codeCompleted      = "conversation_completed"
	codeRenamed        = "conversation_renamed"
	codeOtherProfile   = "other_profile"
	codeTaken          = "conversation_taken"
	codeNotCompleted   = "conversation_not_completed"
	codeUnreachable    = "agent_assist_unreachable"
	codeUnsupported    = "unsupported"
	codeFailed         = "agent_assist_failed"
	codeGone           = "conversation_gone"
	codeNotStored      = "messages_not_stored"
	codeServedAgain    = "served_again"
	codeNotServed      = "not_served_in_time"
	codeLanguage       = "language_not_changed"
	codeRoleNotAllowed = "role_not_streamed"
)

// explain turns Google's error at a step into one line for people: what failed,
// Google's words, and which of our settings to mend.
func (c Conversation) explain(step string, err error) event.Problem {
	code, fix := c.fix(step, err)
	fix += c.emulatorHint(step, err)
	return event.Problem{Code: code, Text: fmt.Sprintf("Agent Assist: %s failed: %s; %s", step, googleWords(err), fix)}
}

func (c Conversation) fix(step string, err error) (code, do string) {
	g := c.Google
	if errors.Is(err, errCredentials) {
		return codeNoCredentials, "set google.credentials to a key file, or run `gcloud auth application-default login`"
	}
	switch codeOf(err) {
	case codes.NotFound:
		if step == stepProfile {
			return codeProfile, fmt.Sprintf("check routes[].profile = %q, google.project = %q and google.location = %q", c.Profile, g.Project, g.location())
		}
		return codeFailed, fmt.Sprintf("the conversation or participant is gone, or google.location = %q is not where it lives", g.location())
	case codes.PermissionDenied:
		switch reason(err) {
		case "SERVICE_DISABLED":
			return codeAPIDisabled, fmt.Sprintf("enable the API: gcloud services enable dialogflow.googleapis.com --project %s", c.chargedProject())
		case "USER_PROJECT_DENIED":
			return codeQuotaProject, fmt.Sprintf("google.quota_project = %q: grant roles/serviceusage.serviceUsageConsumer there, or name another project", g.QuotaProject)
		}
		return codePermission, fmt.Sprintf("grant %s in project %s to the account of google.credentials", clientRole, g.Project)
	case codes.Unauthenticated:
		return codeUnauthentic, "the credentials are not accepted: check google.credentials (expired, revoked, or of another universe)"
	case codes.InvalidArgument:
		if step == stepProfile {
			return codeInvalid, fmt.Sprintf("check how routes[].profile = %q, google.project = %q and google.location = %q are written", c.Profile, g.Project, g.location())
		}
		return codeInvalid, fmt.Sprintf("check routes[] language = %q, model = %q, transport = %q and google.location = %q", c.Language, c.Model, c.transport(), g.location())
	case codes.FailedPrecondition:
		return codeFailed, fmt.Sprintf("the profile %q or the conversation does not allow it: check routes[].profile and routes[].transport", c.Profile)
	case codes.Unimplemented:
		return codeUnsupported, fmt.Sprintf("the endpoint does not offer routes[].transport = %q", c.transport())
	case codes.ResourceExhausted:
		return codeQuota, fmt.Sprintf("a quota of project %s is used up: ask for more, or choose a transport with fewer stream starts", c.chargedProject())
	case codes.Unavailable, codes.DeadlineExceeded:
		return codeUnreachable, fmt.Sprintf("check the network's way to %s", g.address())
	}
	return codeFailed, "see the status page of Google Cloud"
}

// emulatorHint is what else may be wrong when the first request goes to an endpoint
// without TLS: that is an emulator, which has projects and profiles of its own.
func (c Conversation) emulatorHint(step string, err error) string {
	g := c.Google
	if !g.Insecure || step != stepProfile || reason(err) != "" {
		return ""
	}
	switch codeOf(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Sprintf("; does the emulator run at %s? `patchbay emulator` starts it", g.address())
	case codes.PermissionDenied:
		return fmt.Sprintf("; an emulator knows the projects that it was started with: --project %s", g.Project)
	case codes.NotFound:
		return fmt.Sprintf("; an emulator knows what it was started with: --project %s --profile %s", g.Project, base(c.Profile))
	}
	return ""
}

// chargedProject is whose API must be enabled and whose quota counts.
func (c Conversation) chargedProject() string {
	if c.Google.QuotaProject != "" {
		return c.Google.QuotaProject
	}
	return c.Google.Project
}

// reason is the constant word of google.rpc.ErrorInfo, if there is one.
func reason(err error) string {
	if e, ok := apierror.FromError(err); ok {
		return e.Reason()
	}
	return ""
}

// maxWords bounds what is quoted of Google's error.
const maxWords = 300

// googleWords is Google's error on one line: its code and message.
func googleWords(err error) string {
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = codeName(err) + ": " + s.Message()
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "…"
	}
	return text
}
