package spool

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// KeyBytes is the length of a key.
const KeyBytes = 32

const keyIDBytes = 8

// Key seals a spool's files with AES-256-GCM.
type Key struct {
	secret [KeyBytes]byte
	id     [keyIDBytes]byte // tells keys apart without telling them
}

// NewKey returns the key made of KeyBytes random bytes.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) != KeyBytes {
		return nil, fmt.Errorf("spool: a key has %d bytes; got %d", KeyBytes, len(secret))
	}
	k := &Key{secret: [KeyBytes]byte(secret)}
	id, err := hkdf.Key(sha256.New, k.secret[:], nil, "patchbay spool key id", keyIDBytes)
	if err != nil {
		return nil, err
	}
	k.id = [keyIDBytes]byte(id)
	return k, nil
}

// ParseKey reads a key written as 64 hexadecimal digits, as in a key file or a
// secret of the configuration.
func ParseKey(text string) (*Key, error) {
	secret, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(secret) != KeyBytes {
		return nil, fmt.Errorf("spool: a key is written as %d hexadecimal digits", 2*KeyBytes)
	}
	return NewKey(secret)
}

// KeyFile returns the key in the file at path, and makes it on first use. The file
// must lie outside dir, the spool folder, and be readable by its owner alone.
func KeyFile(path, dir string) (*Key, error) {
	if inside, err := within(path, dir); err != nil {
		return nil, fmt.Errorf("spool: key file %s: %w", path, err)
	} else if inside {
		return nil, fmt.Errorf("spool: key file %s lies in the spool folder it protects; put it elsewhere", path)
	}
	k, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("spool: make key file: %w", err)
	}
	return readKey(path)
}

func readKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("spool: key file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("spool: key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("spool: key file %s is open to others (mode %04o); make it yours alone: chmod 600", path, mode)
	}
	text := make([]byte, 4*KeyBytes)
	n, err := f.ReadAt(text, 0)
	if n == 0 {
		return nil, fmt.Errorf("spool: key file %s is empty or unreadable (%w); remove it to have a new one made", path, err)
	}
	k, err := ParseKey(string(text[:n]))
	if err != nil {
		return nil, fmt.Errorf("%w; %s holds something else", err, path)
	}
	return k, nil
}

func makeKey(path string) (err error) {
	var secret [KeyBytes]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(hex.EncodeToString(secret[:]) + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// within reports whether path lies in dir, however the two are written.
func within(path, dir string) (bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(real, filepath.Base(path))
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)), nil
}

// aead returns the cipher of the file with the given salt.
func (k *Key) aead(salt []byte) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, k.secret[:], salt, "patchbay spool segment", KeyBytes)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
