package host

import (
	"crypto/sha256"
	"crypto/subtle"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay/patchbay/core/adapter"
	"github.com/patchbay/patchbay/core/plug/internal/wire"
)

// opStart is the operation that start errors name.
const opStart = "host.Start"

func configError(format string, args ...any) error {
	return &adapter.Error{Op: opStart, Kind: adapter.KindConfig, Err: fmt.Errorf(format, args...)}
}

// inspect looks at a binary before it is started and returns its SHA-256 in hex.
// pin, if not empty, is what it must be.
func inspect(path, pin string) (sum string, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", configError("plugin %s: there is no such file; check the plugin's name and where plugins are installed", path)
	case err != nil:
		return "", configError("plugin %s: %w", path, err)
	case info.IsDir():
		return "", configError("plugin %s: is a folder; name the binary in it", path)
	case runtime.GOOS != "windows" && info.Mode()&0o111 == 0:
		return "", configError("plugin %s: is not executable; chmod +x it, if it is the right file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", configError("plugin %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", configError("plugin %s: %w", path, err)
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if pin != "" && subtle.ConstantTimeCompare([]byte(sum), []byte(strings.ToLower(pin))) != 1 {
		return "", configError("plugin %s: its SHA-256 is %s, but %s is pinned; if the new binary is meant to be there, correct sha256 in the configuration or restart the host", path, sum, strings.ToLower(pin))
	}
	return sum, nil
}

// explain puts what go-plugin says about a failed start into one line with the
// likely cause. late means that the start timeout ended it.
func explain(err error, late bool, path string, p *program) error {
	prelude, handshake := p.output()
	exit, gone := p.gone()
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return configError("plugin %s: %s", path, wrongFormat(path))
	case errors.Is(err, os.ErrPermission):
		return configError("plugin %s: may not be executed; check its owner, and that its file system is not mounted noexec", path)
	case p.ID() == "" && !late:
		return configError("plugin %s: %w", path, err)
	case handshake != "" && len(prelude) > 0:
		return configError("plugin %s: wrote %q to standard output before the handshake; a plugin must not print there, log to standard error instead", path, brief(prelude[0]))
	case handshake != "" && otherVersion(handshake) != "":
		return configError("plugin %s: speaks %s, this host speaks version %d; use a plugin and a host of the same release", path, otherVersion(handshake), wire.ProtocolVersion)
	case late && len(prelude) > 0:
		return configError("plugin %s: is probably no patchbay plugin: it wrote %q instead of a handshake", path, brief(prelude[0]))
	case late:
		return &adapter.Error{Op: opStart, Kind: adapter.KindUnavailable,
			Err: fmt.Errorf("plugin %s: was not ready within the start timeout; it hangs, or is no patchbay plugin%s", path, p.quote())}
	case gone && len(prelude) > 0:
		return configError("plugin %s: is no patchbay plugin: it wrote %q and ended (%s)", path, brief(prelude[0]), exitText(exit))
	case gone:
		return configError("plugin %s: ended before it was ready (%s)%s", path, exitText(exit), p.quote())
	case status.Code(err) == codes.Unimplemented:
		return configError("plugin %s: is a go-plugin of another product: it does not know patchbay's calls", path)
	case adapter.KindOf(err) == adapter.KindConfig:
		return err
	}
	return &adapter.Error{Op: opStart, Kind: adapter.KindUnavailable, Err: fmt.Errorf("plugin %s: %w%s", path, err, p.quote())}
}

// otherVersion names the protocol version of a handshake when it is not ours.
func otherVersion(handshake string) string {
	parts := strings.Split(handshake, "|")
	if parts[0] != "1" {
		return "go-plugin's protocol " + brief(parts[0]) + " instead of 1"
	}
	if parts[1] != strconv.Itoa(wire.ProtocolVersion) {
		return "version " + brief(parts[1]) + " of the plugin protocol"
	}
	return ""
}

// wrongFormat says what a file is that this system cannot execute.
func wrongFormat(path string) string {
	here := runtime.GOOS + "/" + runtime.GOARCH
	built := ""
	if f, err := elf.Open(path); err == nil {
		built = "an ELF binary for " + strings.TrimPrefix(f.Machine.String(), "EM_")
		_ = f.Close()
	} else if f, err := macho.Open(path); err == nil {
		built = "a macOS binary for " + f.Cpu.String()
		_ = f.Close()
	} else if f, err := pe.Open(path); err == nil {
		built = "a Windows binary"
		_ = f.Close()
	}
	if built == "" {
		return "is not a program; this host runs binaries for " + here
	}
	return "is " + built + "; this host needs one for " + here
}

// quote returns the process's last words for the end of an error.
func (p *program) quote() string {
	words := p.stderr.words()
	if len(words) == 0 {
		return ""
	}
	for i, w := range words {
		words[i] = brief(w)
	}
	return fmt.Sprintf("; its last words: %q", strings.Join(words, " / "))
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// brief cuts text that comes from a plugin for an error message.
func brief(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
