// Package sdp reads the session descriptions of recording clients and writes ours.
//
// It owns the text: what a peer offers, which of it we take, the answer line by line,
// keys of SRTP (SDES, RFC 4568), and what has changed since the last answer. It opens
// no port and knows no dialog; both are the caller's.
//
// The reader is our own and tolerant, since the field leaves out lines that RFC 8866
// demands (t=, c=) and a recorder that refuses such an offer records nothing. What it
// writes is strict.
package sdp
