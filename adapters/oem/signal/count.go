package signal

// The kinds that a server counts.
const (
	CountStranger     = "sip_stranger"     // a peer proved nothing: one answer, then silence
	CountDigest       = "sip_digest"       // a wrong or stale digest answer
	CountRate         = "sip_rate"         // too many requests of one address or dialog
	CountFull         = "sip_full"         // dialogs or transactions at their limit
	CountMalformed    = "sip_malformed"    // a request that was answered with 400, 413, 416 or 505
	CountUnreadable   = "sip_unreadable"   // bytes that no answer is possible to
	CountConnections  = "sip_connections"  // a connection closed: too many
	CountHandshake    = "sip_handshake"    // TLS that did not come about
	CountStream       = "sip_stream"       // a connection that ended within a message, or was idle
	CountNoAck        = "sip_no_ack"       // a 2xx that was never acknowledged
	CountExpired      = "sip_expired"      // a session interval without a refresh
	CountLost         = "sip_lost"         // a peer that did not answer a request of ours
	CountReordered    = "sip_reordered"    // a request that had overtaken another
	CountUnsent       = "sip_unsent"       // an answer that could not be sent
	CountGlare        = "sip_glare"        // an offer that met another
	CountToOtherTrunk = "sip_foreign_peer" // a request in a dialog of another peer
)
