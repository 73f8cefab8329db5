package audiohook

// The kinds that the adapter counts with Env.Count, beside those of a leg's notes.
const (
	countSignature   = "refused_signature"    // missing, wrong, too old or of another key
	countReplay      = "refused_replay"       // a signature that was used before
	countKey         = "refused_key"          // API key missing, unknown, or of another organization
	countHeader      = "refused_header"       // an Audiohook header is missing or no UUID
	countAddress     = "refused_address"      // from outside of addresses
	countFull        = "refused_full"         // our own limits
	countPath        = "unknown_path"         // nothing is served there
	countRequest     = "bad_request"          // no WebSocket handshake
	countDoor        = "refused_connection"   // limits.max_connections
	countTimeout     = "refused_timeout"      // no open message in time
	countOpen        = "refused_open"         // an open message that cannot be used
	countMedia       = "refused_media"        // no audio is offered that can be heard
	countHost        = "refused_host"         // the host is full, leaving, or wants no such call
	countProtocol    = "protocol_error"       // sequence numbers, session id, nonsense: the session is ended
	countOversize    = "oversize_message"     // longer than 64 KiB or limits.max_audio_bytes
	countEarly       = "audio_before_opened"  // the session is ended
	countIdle        = "idle_session"         // nothing came within limits.idle_timeout
	countStuck       = "unread_messages"      // Genesys does not read what we say
	countProbe       = "probe"                // Genesys tried the connection
	countContinued   = "continued_session"    // a session took up another's leg
	countUnknown     = "unknown_message"      // ignored
	countState       = "message_out_of_place" // open twice, resumed without paused…: ignored
	countPausedAudio = "audio_while_paused"
	countDiscarded   = "genesys_discarded" // Genesys left audio out
	countPosition    = "position_mismatch" // Genesys counts other samples than came
	countHalfSample  = "half_sample"       // audio ended within a sample
	countError       = "genesys_error"     // Genesys reports trouble
	countLimited     = "genesys_rate_limit"
	countEvent       = "event_dropped" // a result that could not be sent in time
	countWrite       = "host_write_failed"
)

// clip shortens what strangers wrote before it is logged.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
