package five9

// The kinds that the adapter counts with Env.Count, beside those of a leg's notes.
const (
	countToken       = "refused_token"        // trust token missing or wrong, or of another domain
	countSubscribed  = "refused_subscription" // the token is right, the subscription's id is not
	countAddress     = "refused_address"      // from outside of addresses or event_addresses
	countCertificate = "refused_certificate"  // no client certificate, though client_ca is set
	countConfig      = "refused_config"       // the first message is no usable config
	countFormat      = "refused_format"       // an encoding or a rate that cannot be heard
	countHost        = "refused_host"         // the host is full, leaving, or wants no such call
	countFull        = "refused_full"         // our own limits
	countNoConfig    = "refused_timeout"      // no config in time
	countIdle        = "idle_stream"          // nothing came within limits.idle_timeout
	countOversize    = "oversize_message"     // longer than limits.max_message_bytes
	countMessage     = "bad_message"          // no protobuf message of this protocol
	countSecond      = "second_config"        // a config within a running stream
	countEmpty       = "empty_message"        // neither config nor audio nor status
	countHalfSample  = "half_sample"          // audio ended within a sample
	countUnknown     = "unknown_status"       // a status code that we do not know
	countClientError = "five9_client_error"   // Five9 said that it has trouble
	countTooBad      = "too_many_bad_messages"
	countWrite       = "host_write_failed" // Leg.Write or Leg.Note failed
	countPath        = "unknown_path"      // nothing is served there
	countKey         = "refused_key"       // API key missing or wrong
	countEvent       = "bad_event"         // an event that cannot be read
	countEvents      = "five9_event"
	countValidation  = "five9_validation"
	countStarted     = "five9_stream_started" // as Five9 reports it
	countEnded       = "five9_stream_ended"
	countFailed      = "five9_stream_error"
	countVariable    = "variable_dropped" // an attached variable too long, or one too many
	countForgotten   = "call_forgotten"   // what events said of a call whose legs did not come
	countDoor        = "refused_connection"
)

// clip shortens what strangers wrote before it is logged.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
