package twilio

// The kinds that the adapter counts with Env.Count, beside those of a leg's
// notes. A refusal by the host is counted as refused_host.
const (
	countSignature     = "refused_signature"     // wrong signature: HTTP 403
	countUnsigned      = "refused_unsigned"      // no signature: HTTP 403, or close 1008
	countSecret        = "refused_secret"        // no valid stream secret or token in start
	countAccount       = "refused_account"       // start names an account that did not sign
	countStart         = "refused_start"         // start is unusable: SIDs, media format
	countHost          = "refused_host"          // the host is full, draining or wants no such call
	countFull          = "refused_full"          // our own limits
	countTimeout       = "refused_timeout"       // no start in time
	countRequest       = "bad_request"           // webhook or callback that cannot be read
	countPath          = "unknown_path"          // nothing is served there
	countJSON          = "bad_json"              // a message that is no JSON object of Twilio's shape
	countBinary        = "binary_message"        // Twilio sends text only
	countOversize      = "oversize_message"      // longer than Limits.MaxMessageBytes
	countTooBad        = "too_many_bad_messages" // then the stream is closed
	countEarly         = "media_before_start"    // or any other message of a stream
	countSecondStart   = "second_start"          // start within a running stream
	countForeign       = "wrong_stream"          // message with another streamSid
	countPayload       = "bad_payload"           // audio that is no base64, or empty
	countTrack         = "unknown_track"         // neither inbound nor outbound
	countSequence      = "sequence_gap"          // messages are missing on the socket
	countDuplicate     = "duplicate_chunk"       // audio that came before
	countLate          = "late_chunk"            // audio for a place that is past
	countRestart       = "track_restarted"       // counters or clock of a track began anew
	countUnknown       = "unknown_event"         // ignored, as Twilio asks
	countVersion       = "unknown_version"       // connected names a protocol that we do not know; heard all the same
	countWrite         = "host_write_failed"     // Leg.Write or Leg.Note failed
	countStreamStarted = "twilio_stream_started"
	countStreamStopped = "twilio_stream_stopped"
	countStreamError   = "twilio_stream_error"
	countAttach        = "attached"
	countAttachFailed  = "attach_failed"
)
