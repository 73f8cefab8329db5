// Package linking finds out which Agent Assist conversation a recording dialog belongs
// to, and which call: by Call-Info, User-to-User, the trunk's own templates, vendors' ids
// of the recorded call, and last the Call-ID.
//
// It owns the reading of those and the making of valid ids. Dedicated and leased numbers
// are the host's: it gets the dialled number. Who a peer is, is the caller's to prove; what
// names a conversation outright counts from a trusted peer alone.
package linking
