// Package assist is the client of Google Agent Assist: it sets a conversation up,
// sends the audio of its tracks, and turns what comes back into events.
//
// A Pool holds the connections to Google, a Session is one conversation, a Track
// is the audio of one speaker. Each track has at most one stream at a time; a
// stream lives a few minutes, so tracks rotate: choose a cut, half-close, wait for
// the end, go on with a new stream from the cut. A clean end settles everything
// up to the cut; after any other end the next stream starts at the last settled
// position, so nothing is lost and nothing that had become final is heard twice.
//
// What may go wrong has three joints. The table reactions says what each of Google's
// codes means. The governor hands out stream starts within the project's quotas, to
// running calls and customers first; rotations wait for it until their hard mark. A
// circuit for each Google lets one ask for all while nothing answers or the
// credentials are refused. Whoever waits keeps taping, and catches up.
//
// A track on which nobody speaks is parked: its stream is closed, quiet audio is settled
// without being sent, and the next word opens a stream from half a second before it.
// A change of language, of format or of the speaker's participant rotates the stream at
// its position. What was decided, and why, goes to the call's log at debug level.
//
// A conversation may be a client's own (Conversation.Foreign): then it and its participants
// are only looked up, streams open with the client's first message, and every response goes
// back to the client's stream that brought the audio, with that stream's offsets. Unary
// calls of clients are relayed as they are (Pool.Relay), after a look at every resource
// that they name (ReadUnary, Google.Contains).
//
// The package reads audio through the Audio interface and tells it what became of
// each sample. It leaves to others which call belongs to which conversation
// (core/call), how audio is kept (core/tape) and who sees the words (core/redact).
package assist
