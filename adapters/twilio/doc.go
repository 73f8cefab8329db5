// Package twilio turns Twilio Media Streams into legs: a WebSocket server for
// the streams, a voice webhook, callbacks, and the REST calls that attach to a
// running call.
//
// It owns Twilio's protocol and what Twilio proves of itself: signatures, stream
// secrets and one-time tokens. Who may call, which profile helps, and what
// becomes of the audio is the host's business behind adapter.Sink.
//
// Protocol: Media Streams 1.0.0, unidirectional, JSON text messages with mu-law
// at 8 kHz (Twilio's pages "Media Streams – WebSocket Messages", "TwiML Voice:
// Stream", "Streams subresource", "Webhooks security" and the error dictionary,
// read in 2026-11). Twilio is the WebSocket client, one stream is one connection,
// and Twilio ends it. Patchbay never sends a message on a stream, because any
// message on a unidirectional stream is error 31924.
//
// Left out: bidirectional streams (<Connect><Stream>) as a source of playback,
// Twilio's SIPREC (package oem/siprec serves that), and look-alike dialects of
// other vendors, which are adapters of their own.
package twilio
