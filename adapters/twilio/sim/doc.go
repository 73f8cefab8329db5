// Package sim plays Twilio: it asks a voice webhook for TwiML, obeys it, streams
// audio to the URL that the TwiML names, signs all that Twilio signs, and calls
// back. Run makes many calls at a time, Main is the command around it, API is
// Twilio's REST resource Streams for attaching to running calls, and Stream is a
// single stream for tests that want to say every message themselves.
//
// It shares no code with the adapter that it tests; what both know of the
// protocol is written twice on purpose.
package sim
