// Package sim plays clients of the native adapter: an Agent Assist client that creates a
// conversation and streams both speakers (v2, v2beta1, bidi), or a partner of
// patchbay.ingest.v1. It counts what it sent and what came back.
package sim
