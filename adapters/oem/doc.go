// Package oem takes the recording calls of session border controllers, PBXs and call
// managers by SIP: SIPREC (RFC 7866), Cisco's network-based and built-in-bridge recording,
// and Five9's delivery by SIP, all on one endpoint.
//
// Package signal owns SIP, receiver owns RTP, sdp, siprec and ciscobib read bodies and
// headers, roles and linking draw the conclusions. This package puts them together: a
// dialog is a leg, an audio line of it a track. It knows no vendor by name; what it does
// follows from what a message says, and from the trunk's settings.
//
// Every trunk is taken to send recording calls and nothing else, so the marks of one
// (Require: siprec, +sip.src) are not asked for: half of the vendors leave them out.
package oem
