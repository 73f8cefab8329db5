//go:build unix

package twilio

import (
	"errors"
	"io"
	"runtime"
	"syscall"
)

const canPoll = true

// readNow reads what has come from a socket that does not block.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, errEmpty
		default:
			return 0, err
		}
	}
}

// quiet sets how many bytes must have come before the kernel tells Go's poller of them: with
// none, one. Whoever reads by the clock wants to hear of nothing but the end. Elsewhere
// than on Linux a read that does not wait would want as many.
func quiet(fd uintptr, bytes int) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, max(1, bytes))
}
