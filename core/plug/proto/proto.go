// Package proto holds the public protocol between a patchbay host and a plugin:
// patchbay/plug/v1/plug.proto is its documentation, the Go code beside it is
// generated. Plugins in Go use package plug and never see it.
package proto

//go:generate go tool -modfile=../../../.tools/buf/go.mod buf generate
