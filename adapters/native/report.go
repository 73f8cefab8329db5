package native

// The kinds that the adapter counts with Env.Count.
const (
	countAccess    = "refused_access"   // no token or certificate, or a wrong one
	countFull      = "refused_full"     // our own limits
	countHost      = "refused_host"     // the host is full, leaving, or gives no such thing to the account
	countFirst     = "refused_config"   // the first message is missing or says what is not served
	countNoConfig  = "refused_timeout"  // no first message in time
	countMethod    = "unknown_method"   // nothing is served there
	countMessage   = "bad_message"      // a message that cannot be read, or not there
	countOversize  = "oversize_message" // longer than limits.max_message_bytes
	countIdle      = "idle_stream"      // nothing came within limits.idle_timeout
	countUnread    = "results_unread"   // a client did not read its results
	countLate      = "results_late"     // the last results did not come within limits.finish_timeout
	countWrite     = "host_write_failed"
	countRelayed   = "relayed_call"
	countRelayFail = "relayed_call_failed" // answered with an error, whoever's
)
