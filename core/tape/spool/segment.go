package spool

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the format of spool files that this package writes and reads.
const Version = 1

// Errors of spool files. Each comes wrapped in what is wrong with which file.
var (
	ErrVersion = errors.New("spool: written by another version")
	ErrKey     = errors.New("spool: sealed with another key")
	ErrDamaged = errors.New("spool: damaged")
)

// errTorn means that a file ends within its header or a record.
var errTorn = errors.New("spool: torn record")

// MaxMeta is the most bytes that describe a tape or begin a journal.
const MaxMeta = 4 << 10

// A file begins with a header, little endian:
//
//	magic (8), version (2), length of the meta data (2), key id (8), salt (32),
//	id of its tape or journal (16), number of the file (4), then the sealed meta data
//
// The salt is fresh for every file and gives it a key of its own; the nonces below
// it count: 0 the meta data (with the header as additional data), then the records.
// A file that failed to take a record is never written again. So no nonce is used
// twice under one key. A sealed record is the length of its plain text (4, bound as
// additional data), then the plain text under the file's key.
const (
	magicBytes  = 8
	saltBytes   = 32
	headerBytes = magicBytes + 2 + 2 + keyIDBytes + saltBytes + idBytes + 4
	idBytes     = 16
	tagBytes    = 16
	nonceBytes  = 12
	lengthBytes = 4
	sealBytes   = lengthBytes + tagBytes // what sealing adds to a record
)

// ownerID tells the files of one tape or journal from those of others.
type ownerID [idBytes]byte

func newOwnerID() (id ownerID, err error) {
	_, err = rand.Read(id[:])
	return id, err
}

// header is a file's identity and its key.
type header struct {
	id    ownerID
	seq   uint32
	aead  cipher.AEAD
	nonce [nonceBytes]byte // memory of seal
}

// newHeader returns the header of a new file and its bytes.
func newHeader(k *Key, kind fileKind, id ownerID, seq uint32, meta []byte) (*header, []byte, error) {
	var salt [saltBytes]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, nil, err
	}
	aead, err := k.aead(salt[:])
	if err != nil {
		return nil, nil, err
	}
	b := append(make([]byte, 0, headerBytes+len(meta)+tagBytes), kind.magic...)
	b = binary.LittleEndian.AppendUint16(b, Version)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(meta)))
	b = append(b, k.id[:]...)
	b = append(b, salt[:]...)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint32(b, seq)
	return &header{id: id, seq: seq, aead: aead}, aead.Seal(b, make([]byte, nonceBytes), meta, b), nil
}

// parseHeader reads a file's header and returns its meta data and what follows.
func parseHeader(k *Key, kind fileKind, b []byte) (h *header, meta, rest []byte, err error) {
	switch {
	case len(b) < headerBytes:
		return nil, nil, nil, errTorn
	case !bytes.HasPrefix(b, []byte(kind.magic)):
		return nil, nil, nil, fmt.Errorf("%w: not a %s file", ErrDamaged, kind.suffix)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != Version {
		return nil, nil, nil, fmt.Errorf("%w: format %d; this is %d", ErrVersion, v, Version)
	}
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if [keyIDBytes]byte(b[12:]) != k.id {
		return nil, nil, nil, ErrKey
	}
	if n > MaxMeta {
		return nil, nil, nil, fmt.Errorf("%w: %d bytes of meta data", ErrDamaged, n)
	}
	salt := b[12+keyIDBytes:][:saltBytes]
	h = &header{id: ownerID(b[12+keyIDBytes+saltBytes:]), seq: binary.LittleEndian.Uint32(b[headerBytes-4:])}
	if h.aead, err = k.aead(salt); err != nil {
		return nil, nil, nil, err
	}
	end := headerBytes + n + tagBytes
	if len(b) < end {
		return nil, nil, nil, errTorn
	}
	meta, err = h.aead.Open(nil, make([]byte, nonceBytes), b[headerBytes:end], b[:headerBytes])
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: header does not verify", ErrDamaged)
	}
	return h, meta, b[end:], nil
}

// putNonce writes the nonce of the record with number n, counted from 1.
func putNonce(b *[nonceBytes]byte, n uint32) []byte {
	binary.LittleEndian.PutUint32(b[:], n)
	return b[:]
}

// seal appends record number n. One goroutine at a time may seal.
func (h *header) seal(dst []byte, n uint32, plain []byte) []byte {
	from := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(plain)))
	return h.aead.Seal(dst, putNonce(&h.nonce, n), plain, dst[from:from+lengthBytes])
}

// open reads record number n, of least to most bytes, at the start of b, which it
// overwrites. It returns the bytes that the sealed record takes. It fails with errTorn
// when b is too short and with ErrDamaged when the record does not verify.
func (h *header) open(b []byte, n uint32, least, most int) (plain []byte, size int, err error) {
	if len(b) < lengthBytes {
		return nil, 0, errTorn
	}
	length := binary.LittleEndian.Uint32(b)
	if length < uint32(least) || length > uint32(most) {
		return nil, 0, fmt.Errorf("%w: record %d is said to have %d bytes", ErrDamaged, n, length)
	}
	size = lengthBytes + int(length) + tagBytes
	if len(b) < size {
		return nil, 0, errTorn
	}
	body := b[lengthBytes:size]
	var at [nonceBytes]byte
	plain, err = h.aead.Open(body[:0], putNonce(&at, n), body, b[:lengthBytes])
	if err != nil {
		return nil, 0, fmt.Errorf("%w: record %d does not verify", ErrDamaged, n)
	}
	return plain, size, nil
}
