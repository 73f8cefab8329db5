// Package probe makes and hears audio that a machine can recognise without
// doubt, for tests, simulators and the emulator.
//
// Coded blocks prove that audio arrived bit for bit: each 20 ms of mu-law
// carries its own number, and one changed sample makes the block unreadable.
// They survive linear16 and A-law on the way, but no resampling and no lossy
// codec. Tone words survive those too: they are pairs of DTMF-like tones, and
// what is heard is a list of words.
//
// The package knows nothing of calls or networks; it turns numbers and words
// into samples and back.
package probe
