// Package emulator is a local Agent Assist: the gRPC services of Dialogflow v2
// and v2beta1 that Agent Assist uses, behind which audio is really heard and
// suggestions are really looked up, with no account and no network.
//
// It is stricter than the real service. Every rule has a name (type Rule), an
// error names the rule that was broken, and each can be switched off. Messages
// and suggestions come when the API would give them and not before.
//
// It misbehaves on demand: type Fault, Server.Inject, Config.Faults.
//
// The core of it speaks v2beta1; v2 is the same implementation seen through a
// conversion. Time comes from package time alone, so a server on an in-memory
// listener works inside a testing/synctest bubble.
//
// What it leaves to others: recognising audio is package hear, finding
// suggestions package knowledge, the bundled calls package recordings.
package emulator
