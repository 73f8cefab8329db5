// Package event says what happened in a call: typed records in one ordered log.
// It owns their form and their order; who writes them (core/assist, core/call),
// masks them (core/redact) and carries them (core/api) is elsewhere.
package event

import "time"

// Event is one record of a call's log. Exactly the payload that its Kind names is
// set; records about a track name it.
type Event struct {
	Seq  uint64    `json:"seq" doc:"Rises by at least one from event to event; interim transcripts that were superseded leave holes."`
	Call string    `json:"call" doc:"Patchbay's id of the call."`
	Time time.Time `json:"time" doc:"When the event entered the log."`
	Kind Kind      `json:"kind"`

	// Redaction says what masking was done to the words in the event, and Revision
	// counts how often an event with the same Utterance or Suggestion id was published
	// anew: a later revision replaces the earlier.
	Redaction Redaction `json:"redaction"`
	Revision  int       `json:"revision"`

	Track *TrackRef `json:"track,omitempty" doc:"The track it is about, if any."`

	Transcript *Transcript `json:"transcript,omitempty"`
	Message    *Message    `json:"message,omitempty"`
	Speech     *Speech     `json:"speech,omitempty"`
	Suggestion *Suggestion `json:"suggestion,omitempty"`
	Feedback   *Feedback   `json:"feedback,omitempty"`
	Note       *Note       `json:"note,omitempty"`
	State      *State      `json:"state,omitempty"`
	Stream     *Stream     `json:"stream,omitempty"`
	Problem    *Problem    `json:"problem,omitempty"`
	Decision   *Decision   `json:"decision,omitempty"`
	Correction *Correction `json:"correction,omitempty"`
}

// Kind names what happened.
type Kind string

// The kinds of events, with the payload that each carries.
const (
	CallStarted        Kind = "call.started"           // State
	CallEnding         Kind = "call.ending"            // State: the last leg has gone, results may still come
	CallEnded          Kind = "call.ended"             // State: nothing follows
	LegJoined          Kind = "leg.joined"             // State
	LegEnded           Kind = "leg.ended"              // State
	TrackJoined        Kind = "track.joined"           // State
	RoleCorrected      Kind = "role.corrected"         // State, Correction: the track continues under another participant
	CallPaused         Kind = "call.paused"            // State: audio is withheld from here on
	CallResumed        Kind = "call.resumed"           // State
	ConversationReady  Kind = "conversation.ready"     // State
	ConversationDone   Kind = "conversation.completed" // State
	ParticipantReady   Kind = "participant.ready"      // State
	StreamOpened       Kind = "stream.opened"          // Stream
	StreamEnded        Kind = "stream.ended"           // Stream
	TranscriptInterim  Kind = "transcript.interim"     // Transcript
	TranscriptFinal    Kind = "transcript.final"       // Transcript
	MessageStored      Kind = "message.stored"         // Message: Agent Assist's own record of an utterance
	SpeechBegan        Kind = "speech.began"           // Speech
	SpeechEnded        Kind = "speech.ended"           // Speech
	SuggestionOffered  Kind = "suggestion.offered"     // Suggestion
	SuggestionFailed   Kind = "suggestion.failed"      // Suggestion with Error: one feature failed, the call goes on
	SuggestionFeedback Kind = "suggestion.feedback"    // Feedback
	VendorNote         Kind = "vendor.note"            // Note
	Warning            Kind = "warning"                // Problem: worth a look, the call goes on
	Failure            Kind = "failure"                // Problem: this call or track gets no (more) help
	Decided            Kind = "decision"               // Decision: debug level, for whoever asks why
)

// Debug reports whether events of the kind are for whoever looks into a call, not for
// agent desktops. A log keeps the newest MaxDebug of them.
func (k Kind) Debug() bool { return k == Decided }

// Lasts reports whether an event of the kind matters after a crash of the host. The
// others are of the moment.
func (k Kind) Lasts() bool {
	switch k {
	case TranscriptInterim, SpeechBegan, SpeechEnded, Decided, "":
		return false
	}
	return true
}

// Redaction is what masking was done to an event's words.
type Redaction string

// The states of masking.
const (
	RedactionNone   Redaction = "none"   // no masking is configured
	RedactionMasked Redaction = "masked" // what the rules found is replaced
)

// TrackRef names a track and who speaks on it.
type TrackRef struct {
	Number      int    `json:"number" doc:"1 for the call's first track; the ids of utterances begin with it."`
	Leg         string `json:"leg"`
	Track       string `json:"track"`
	Speaker     string `json:"speaker" doc:"Stable identity of the speaker within the call."`
	Role        string `json:"role" enum:"end_user,human_agent,other"`
	Participant string `json:"participant,omitempty" doc:"Full name of the Agent Assist participant, once it exists."`
}

// Transcript is what was recognised of an utterance, so far or for good.
type Transcript struct {
	Utterance  string    `json:"utterance" doc:"Id of the utterance within the call: all interims and the final share it."`
	Text       string    `json:"text"`
	Start      time.Time `json:"start" doc:"On the call's clock: when the audio of the utterance began to arrive."`
	End        time.Time `json:"end" doc:"On the call's clock: the last audio that the text covers."`
	EndPos     int64     `json:"end_pos" doc:"The same as a position on the track's tape, in samples."`
	Language   string    `json:"language,omitempty"`
	Confidence float32   `json:"confidence,omitempty" doc:"0 to 1, on finals; 0 means unknown."`
	Stability  float32   `json:"stability,omitempty" doc:"0 to 1, on interims; 0 means unknown."`
	Words      []Word    `json:"words,omitempty" doc:"Where word times were asked for."`
	Model      string    `json:"model,omitempty"`
}

// Word is a word with its times on the call's clock.
type Word struct {
	Text  string    `json:"text"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Message is Agent Assist's stored record of an utterance.
type Message struct {
	Name      string    `json:"name" doc:"Full resource name."`
	Text      string    `json:"text"`
	Language  string    `json:"language,omitempty"`
	Sent      time.Time `json:"sent" doc:"Google's send_time: the start of the utterance."`
	Sentiment *float32  `json:"sentiment,omitempty" doc:"-1 to 1."`
}

// Speech marks the begin or end of speech as the recogniser heard it.
type Speech struct {
	At  time.Time `json:"at"`
	Pos int64     `json:"pos" doc:"Position on the track's tape, in samples."`
}

// Suggestion is one answer of one Agent Assist feature.
type Suggestion struct {
	ID           string            `json:"id" doc:"Id within the call, for feedback."`
	Feature      Feature           `json:"feature"`
	For          string            `json:"for" doc:"human_agent or end_user."`
	AnswerRecord string            `json:"answer_record,omitempty" doc:"Full name; feedback goes to it."`
	Message      string            `json:"message,omitempty" doc:"The latest stored message that it answers."`
	Title        string            `json:"title,omitempty" doc:"Article title, FAQ question, suggested query or generator name."`
	Text         string            `json:"text,omitempty" doc:"Answer, reply, or the article's snippets."`
	URI          string            `json:"uri,omitempty"`
	Confidence   float32           `json:"confidence,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Error        string            `json:"error,omitempty" doc:"Why the feature failed, in Google's words."`
	// HeardAt is the arrival of the last audio of the utterance that it answers, zero when unknown.
	HeardAt time.Time `json:"heard_at,omitzero"`
}

// Feature is the Agent Assist feature a suggestion comes from.
type Feature string

// The features.
const (
	FeatureArticle         Feature = "article"
	FeatureFAQ             Feature = "faq"
	FeatureSmartReply      Feature = "smart_reply"
	FeatureKnowledgeAssist Feature = "knowledge_assist"
	FeatureGenerator       Feature = "generator"
	FeatureCompanion       Feature = "companion"
	FeatureDialogflow      Feature = "dialogflow_assist"
	FeatureEntities        Feature = "entity_extraction"
	FeatureUnknown         Feature = "unknown"
)

// Feedback is what the agent did with a suggestion.
type Feedback struct {
	Suggestion string `json:"suggestion"`
	Clicked    bool   `json:"clicked,omitempty"`
	Displayed  bool   `json:"displayed,omitempty"`
	Correct    string `json:"correctness,omitempty" enum:"correct,partly_correct,incorrect"`
}

// Note is what the vendor said beside the audio.
type Note struct {
	Kind    string            `json:"kind" doc:"dtmf, hold, resume, pause, transfer, language, metadata, warning."`
	Text    string            `json:"text,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
	Aliases []string          `json:"aliases,omitempty" doc:"Further names of the call."`
	At      time.Time         `json:"at"`
}

// State is a step in the life of a call, a leg, a track or the conversation.
type State struct {
	Adapter      string `json:"adapter,omitempty"`
	Leg          string `json:"leg,omitempty"`
	Conversation string `json:"conversation,omitempty" doc:"Full resource name."`
	Participant  string `json:"participant,omitempty" doc:"Full resource name."`
	Reason       string `json:"reason,omitempty"`
	Text         string `json:"text,omitempty" doc:"For people."`
}

// Stream is the begin or end of one Agent Assist stream.
type Stream struct {
	Number  int    `json:"number" doc:"1 for the track's first stream."`
	FromPos int64  `json:"from_pos" doc:"Tape position of the stream's first sample."`
	ToPos   int64  `json:"to_pos,omitempty" doc:"Position after the last sample that was sent."`
	Cause   string `json:"cause,omitempty" doc:"Why it ended: planned, forced, server, parked, format, language, end, abandoned, or a gRPC code."`
	Clean   bool   `json:"clean,omitempty" doc:"It ended as we asked: everything up to to_pos is settled."`
	Replay  int64  `json:"replay,omitempty" doc:"Samples that are sent again on this stream."`
}

// Decision is a record of the flight recorder: what the host decided, and why.
type Decision struct {
	What    string  `json:"what" doc:"Constant word, such as opened, waits, backs_off, parked, resumed, replays, rotated, first_result."`
	Text    string  `json:"text" doc:"For people, without caller data."`
	Code    string  `json:"code,omitempty" doc:"The gRPC code that it answers, if any."`
	Stream  int     `json:"stream,omitempty" doc:"Number of the track's stream, if it is about one."`
	Pos     int64   `json:"pos,omitempty" doc:"Position on the track's tape, in samples."`
	Seconds float64 `json:"seconds,omitempty" doc:"How long it took, or is going to take."`
}

// Problem is a warning or a failure, for people.
type Problem struct {
	Code string `json:"code" doc:"Constant word, such as conversation_renamed or permission_denied."`
	Text string `json:"text" doc:"What, where and what to do."`
}
