package emulator

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Rule names one thing that the emulator insists on. Errors end with the name in
// brackets; Config.Off switches rules off.
type Rule string

// The rules. Sections are those of the protocol note agent-assist.md; what is
// called ours there is not documented by Google.
const (
	RuleProject            Rule = "project"              // the project is one of Config.Projects: PERMISSION_DENIED
	RuleLocation           Rule = "location"             // the location is one of Config.Locations: INVALID_ARGUMENT
	RuleConversationID     Rule = "conversation-id"      // [a-zA-Z][a-zA-Z0-9_-]*, 3 to 64 characters (§2)
	RuleConversationOpen   Rule = "conversation-open"    // only a conversation in progress takes input (§1.8)
	RuleParticipantRole    Rule = "participant-role"     // a participant has a role, and keeps it (§2)
	RuleUserID             Rule = "user-id"              // obfuscated_external_user_id has at most 256 bytes (§2)
	RuleUserIDRole         Rule = "user-id-role"         // and is for END_USER alone in v2 (§2)
	RuleUpdateMask         Rule = "update-mask"          // an update names its fields
	RuleBatchSize          Rule = "batch-size"           // BatchCreateMessages takes at most 300 messages (§2)
	RuleRequestID          Rule = "request-id"           // AnalyzeContent's request_id is at most 36 ASCII characters (§3)
	RuleContextSize        Rule = "context-size"         // at most 50 messages of context for suggestions (§3)
	RuleFeature            Rule = "feature"              // suggestions on demand need the feature in the profile (ours)
	RuleFirstMessage       Rule = "first-message"        // a stream begins with configuration and no input (§1.1)
	RuleConfigOnce         Rule = "config-once"          // configuration is not repeated in a stream (§1.1)
	RuleAudioOnly          Rule = "audio-only"           // after audio_config come input_audio messages alone (§1.1)
	RuleStreamRole         Rule = "stream-role"          // only END_USER and HUMAN_AGENT stream (§1.2)
	RuleOneStream          Rule = "one-stream"           // one stream at a time for a participant (ours)
	RuleEncoding           Rule = "encoding"             // LINEAR_16 or MULAW (§1.4)
	RuleSampleRate         Rule = "sample-rate"          // 8000 to 48000 Hz, and stated (§1.4)
	RuleModel              Rule = "model"                // a speech model that Google documents (§1.4)
	RuleChunkSize          Rule = "chunk-size"           // at most Limits.ChunkBytes of audio in a message (§1.6)
	RuleExtended           Rule = "extended"             // extended streaming needs the human-assist stage (§1.6)
	RuleTooSlow            Rule = "too-slow"             // no more than Limits.AudioGap without audio (§1.7)
	RuleTooFast            Rule = "too-fast"             // no more than Limits.Ahead ahead of real time (§1.6)
	RuleDuration           Rule = "duration"             // streams end at their limit (§1.6)
	RuleHoldResults        Rule = "hold-results"         // plain streams give messages and suggestions after half-close (§1.5)
	RuleConversationExpiry Rule = "conversation-expiry"  // conversations complete themselves at Limits.ConversationAge (§2)
	RuleStage              Rule = "conversation-stage"   // VIRTUAL_AGENT_STAGE needs an automated agent in the profile (§2)
	RuleProfileExists      Rule = "conversation-profile" // a conversation names a profile that exists (§2)
)

// Rules lists all rules.
func Rules() []Rule {
	return []Rule{
		RuleProject, RuleLocation, RuleConversationID, RuleConversationOpen, RuleParticipantRole, RuleUserID, RuleUserIDRole,
		RuleUpdateMask, RuleBatchSize, RuleRequestID, RuleContextSize, RuleFeature, RuleFirstMessage, RuleConfigOnce,
		RuleAudioOnly, RuleStreamRole, RuleOneStream, RuleEncoding, RuleSampleRate, RuleModel, RuleChunkSize, RuleExtended, RuleTooSlow,
		RuleTooFast, RuleDuration, RuleHoldResults, RuleConversationExpiry, RuleStage, RuleProfileExists,
	}
}

// on reports whether a rule is enforced.
func (s *Server) on(r Rule) bool { return !slices.Contains(s.cfg.Off, r) }

// rule returns nil when ok or when the rule is off, else an error that names it.
func (s *Server) rule(r Rule, ok bool, c codes.Code, format string, args ...any) error {
	if ok || !s.on(r) {
		return nil
	}
	return status.Errorf(c, format+" [rule "+string(r)+"]", args...)
}

// firstError returns the first error of a list of checks.
func firstError(checks ...error) error {
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func notFound(format string, args ...any) error {
	return status.Errorf(codes.NotFound, format, args...)
}
