// Package native lets clients of Google Agent Assist call patchbay in Google's place. It
// serves the services Conversations, Participants, ConversationProfiles and AnswerRecords
// of Dialogflow v2 and v2beta1 over gRPC: a client changes its endpoint and nothing else.
//
//   - Unary calls are relayed as they are (adapter.Relayer): the host decides who may use
//     what, and asks Google with its own credentials.
//   - StreamingAnalyzeContent and BidiStreamingAnalyzeContent bring audio. A stream is a
//     leg of the client's own conversation; what comes back are Google's responses, with
//     offsets that count from the client's first sample. Google's limits of a stream's life
//     are the host's business: the client's stream lives as long as the client wants.
//   - patchbay.ingest.v1 is a protocol of our own for those who have no Agent Assist client
//     (proto/patchbay/ingest/v1/ingest.proto).
//
// Sources: the published protocol of cloud.google.com/go/dialogflow v1.89.1, and Google's
// pages "Extended streaming" and "Bidirectional API" (March 2026). Google's messages are
// this package's protocol; it holds no client and knows no credentials of Google.
//
// Left out: text and virtual-agent streams, StreamingReactiveCompanionSuggestions,
// single_utterance, REST, and the services Operations and Locations.
package native
