// Package roles finds out who speaks on the streams of a recording dialog: agent,
// customer or another, with the evidence for people and whether it is a guess.
//
// It weighs, in this order: the trunk's own rules; what the vendor states (Cisco's near
// and far end, Oracle's calling party, the recorded user of Broadworks and Metaswitch);
// the parties that the metadata ties to a stream, seen through the rules and the
// recording INVITE; the direction of the call; and last the order of the streams. The
// first that decides wins. The reader of a stream's speaker is a person, so evidence
// holds no numbers or names of callers.
package roles
