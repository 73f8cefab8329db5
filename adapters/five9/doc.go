// Package five9 turns Five9 VoiceStream (now sold as MediaStream) into legs: a gRPC
// server for the audio, one RPC a leg, and the webhooks of Five9's control plane
// beside it on the same port.
//
// It owns Five9's protocol and what Five9 proves of itself: trust tokens, API keys,
// addresses, client certificates. It joins legs to calls by domain and call id; who
// may call, which profile helps, and what becomes of the audio is the host's business
// behind adapter.Sink.
//
// Protocol: five9.voicestream as in proto/five9/voicestream, which is wire compatible
// with the copies that Google and others publish (2024-03 to 2026-05); the control
// plane as Google's reference connector and others serve it. Five9's own guide is not
// public; README.md lists what nobody outside could verify.
//
// Left out: AMR and AMR-WB, which no client has been seen to send, and Five9's delivery
// by SIP, which is another protocol.
package five9
