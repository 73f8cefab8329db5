// Package sim plays Five9: it streams calls as VoiceStream does, a gRPC stream a leg,
// with events beside them, and counts what it sent. It is the vendor's side of tests
// and of `patchbay simulate five9`.
package sim
