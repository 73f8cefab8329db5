// Package siprec reads the bodies of a SIPREC session (RFC 7866): the parts of a
// multipart body, and the metadata document (RFC 7865) as vendors really write it.
//
// It owns what such a document says and the view that a dialog's documents add up to.
// What a stream's speaker is to the call is package roles' business, and which
// conversation it belongs to package linking's. Trouble in metadata is reported and never
// a reason to refuse a call: everything here returns what it could read.
package siprec
