// Package proto holds patchbay.ingest.v1, the protocol for those who bring audio and have
// no client of Agent Assist: patchbay/ingest/v1/ingest.proto is its documentation, the Go
// code beside it is generated.
package proto

//go:generate go tool -modfile=../../../.tools/buf/go.mod buf generate
