// Package signal is the SIP side of a recording server: sockets, peers and their
// proofs, transactions, dialogs, offers and answers as bytes, and every timer of them.
//
// It owns what RFC 3261, 3311 (UPDATE), 3581 (rport), 4028 (session timers), 5626
// (keep-alives) and 8760 (digest) ask of a server that takes calls and places none, and
// the server's half of RFC 7866 as far as headers go. It knows nothing of SDP, metadata,
// roles or media: bodies go to a Session as they came, and its Answer goes back.
//
// Messages are read with our own tolerant reader, so that a request which can be told
// apart gets an answer: sipgo's drops a whole message silently for one bad Contact. From
// github.com/emiago/sipgo (v1.7.2) come the state machines of transactions, messages
// that are sent, URIs. Its transports are not used: they start a goroutine for each
// message that nobody waits for, keep an entry for each UDP source for ever, and have
// their limits in package variables.
//
// Left out: forking, early media, reliable provisional answers (there are none to
// acknowledge: after 100 comes the final answer), SIP over WebSocket, SRV lookups.
package signal
