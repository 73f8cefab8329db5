// Package proto holds Five9's streaming protocol: five9/voicestream/voice.proto
// describes it in our own words, the Go code beside it is generated. Names, numbers
// and types are those of the vendor's file, so that the two agree on the wire.
package proto

//go:generate go tool -modfile=../../../.tools/buf/go.mod buf generate
