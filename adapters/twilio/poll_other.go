//go:build !unix

package twilio

// canPoll is false where a socket cannot be read without waiting: there each stream's own
// goroutine reads it.
const canPoll = false

func readNow(uintptr, []byte) (int, error) { return 0, errEmpty }

func quiet(uintptr, int) error { return nil }
