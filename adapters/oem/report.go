package oem

// The kinds that the adapter counts with Env.Count, beside those of a leg's notes, of
// package signal and of package receiver.
const (
	countBody     = "refused_body"      // neither SDP nor metadata in it
	countOffer    = "refused_offer"     // SDP that cannot be read or served
	countMixed    = "refused_mixed"     // one stream for all voices, and mixed: refuse
	countHost     = "refused_host"      // the host is full, leaving, or wants no such call
	countPorts    = "refused_ports"     // media.ports is used up
	countFailed   = "refused_failure"   // trouble of our own
	countAddress  = "no_address"        // our own address for a trunk is not known
	countAnswer   = "bad_answer"        // to an offer of ours
	countMetadata = "bad_metadata"      // odd or broken; the call is taken all the same
	countPause    = "pause_refused"     // the system did not follow a pause
	countIdle     = "idle_call"         // nothing came within media.idle
	countWrite    = "host_write_failed" // Leg.Join, Write or Note failed
)
