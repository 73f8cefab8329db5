// Package receiver owns the RTP side of all calls of one adapter instance: pairs of UDP
// ports, SRTP, order, loss, codecs and RTCP reports. What comes in as packets goes out, per
// stream, as segments and frames at positions counted in samples. It knows nothing of SIP,
// SDP or metadata: the caller says by Stream.Accept what signalling has agreed.
//
// Facts are from RFC 3550 and 3551 (RTP, RTCP, payload types), RFC 3389 (comfort noise),
// RFC 4733 (telephone events), RFC 3711, 4568, 6188 and 7714 (SRTP and its keys), RFC 7587
// (Opus) and ITU-T G.722.
//
// # What it promises
//
// A packet that is the next expected goes to the Output at once; one that is early waits
// for those before it, Config.Hold at most. Each sample is delivered once, at the position
// that its RTP timestamp says. A place that stays empty is a jump of the position, which the
// host fills and counts as lost; where the sender itself was silent (DTX, comfort noise,
// telephone events, hold), a NoteGap says so first. Lost audio is not guessed: a made-up
// sample would count as received, and the host's account could no longer be trusted.
//
// Arrived, of a frame and of a segment, is when the packets came in, never when the buffer
// let go of them, so that two tracks of a call keep their true distance on its clock. The
// senders' own clocks (RTCP sender reports) are read for the answers that they expect, not
// for that: SBCs disagree about them, and both tracks come by the same path.
//
// A stream listens to one source (address and SSRC) among those that Media.Sources allows.
// Another one takes over when signalling has just changed, or when the old one has been
// silent while the new one sent several packets in order. All else is counted and dropped.
//
// Not done: DTLS-SRTP and ICE; G.729; Opus's in-band error correction, which the decoder
// does not offer.
package receiver
