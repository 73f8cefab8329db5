// Package sim plays the recording clients of old telephone systems: it calls a SIPREC
// server as an Avaya, Oracle, Cisco, Ribbon or other system would, with that system's
// headers, bodies and follow-ups, sends RTP or SRTP, checks the answers as a strict client,
// and counts what it sent. It is the vendor's side of tests and of `patchbay simulate oem`.
//
// It shares no code with the server that it tests: messages are text made from the
// templates in dialects, answers are read by a small strict reader of its own and by
// pion/sdp.
package sim
