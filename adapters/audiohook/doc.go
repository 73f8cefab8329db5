// Package audiohook turns Genesys Cloud AudioHook sessions into legs: a WebSocket for
// each, with JSON about the call and the audio of customer and agent interleaved.
//
// It owns AudioHook's protocol and what Genesys proves of itself: the signature of the
// upgrade, API keys, addresses. Sessions of one conversation are legs of one call, and
// a session that continues another takes its leg over; who may call, which profile
// helps, and what becomes of the audio is the host's business behind adapter.Sink.
//
// Protocol: AudioHook version 2 as Genesys' reference implementation speaks it (client,
// server, validators and signatures; read 2026-11) and as its help pages describe
// sessions; signatures are HTTP Message Signatures (RFC 9421, in the form of its draft
// 11). README.md lists what nobody outside could verify.
//
// Left out: the Audio Connector, which is the protocol's other half for voice bots.
package audiohook
