package spool

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/patchbay/patchbay/core/media"
)

func key(t testing.TB, fill byte) *Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{fill}, KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// record returns a record in which every field says something.
func record(pos int64) Record {
	return Record{
		Kind: Audio, Pos: pos, N: 80, Segment: 5, Format: media.Format{Encoding: media.Linear16, Rate: 16000},
		Arrived: time.Unix(1_700_000_000, 123), Settled: 3, Loud: 1 << 51, Payload: bytes.Repeat([]byte("ab"), 80),
	}
}

// file returns a sealed file of n records.
func file(t testing.TB, k *Key, n int) []byte {
	t.Helper()
	h, b, err := newHeader(k, tapeFile, ownerID{7}, 3, []byte("call 1"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := record(int64(10 + 80*i))
		b, _ = h.sealRecord(b, nil, uint32(i+1), &r)
	}
	return b
}

func TestSegmentRoundTrip(t *testing.T) {
	k := key(t, 1)
	h, meta, rest, err := parseHeader(k, tapeFile, file(t, k, 2))
	if err != nil || string(meta) != "call 1" || h.id != (ownerID{7}) || h.seq != 3 {
		t.Fatalf("parseHeader() = %+v, %q, %v", h, meta, err)
	}
	for i := range 2 {
		got, n, err := h.openRecord(rest, uint32(i+1))
		if err != nil {
			t.Fatal(err)
		}
		want := record(int64(10 + 80*i))
		for f := range reflect.TypeFor[Record]().NumField() {
			if reflect.ValueOf(want).Field(f).IsZero() && reflect.TypeFor[Record]().Field(f).Name != "Kind" {
				t.Errorf("the test leaves %s empty", reflect.TypeFor[Record]().Field(f).Name)
			}
		}
		if !got.Arrived.Equal(want.Arrived) {
			t.Errorf("Arrived = %v; want %v", got.Arrived, want.Arrived)
		}
		got.Arrived = want.Arrived
		if !reflect.DeepEqual(got, want) {
			t.Errorf("record %d = %+v; want %+v", i, got, want)
		}
		rest = rest[n:]
	}
	if bytes.Contains(file(t, k, 1), []byte("abababab")) || bytes.Contains(file(t, k, 1), []byte("call 1")) {
		t.Error("audio or meta data is readable in the file")
	}
	if a, b := file(t, k, 1), file(t, k, 1); bytes.Equal(a[len(a)-64:], b[len(b)-64:]) {
		t.Error("two files seal the same record alike: key and nonce are used twice")
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	k := key(t, 1)
	tests := []struct {
		name string
		edit func(b []byte) []byte
		want error
	}{
		{"another key", func([]byte) []byte { return file(t, key(t, 2), 1) }, ErrKey},
		{"another version", func(b []byte) []byte { b[8]++; return b }, ErrVersion},
		{"no spool file", func(b []byte) []byte { b[0]++; return b }, ErrDamaged},
		{"damaged salt", func(b []byte) []byte { b[30]++; return b }, ErrDamaged},
		{"damaged number", func(b []byte) []byte { b[headerBytes-1]++; return b }, ErrDamaged},
		{"damaged meta data", func(b []byte) []byte { b[headerBytes]++; return b }, ErrDamaged},
		{"impossible meta data", func(b []byte) []byte { b[11] = 0xFF; return b }, ErrDamaged},
		{"torn header", func(b []byte) []byte { return b[:headerBytes-1] }, errTorn},
		{"torn meta data", func(b []byte) []byte { return b[:headerBytes+3] }, errTorn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, _, err := parseHeader(k, tapeFile, tt.edit(file(t, k, 1))); !errors.Is(err, tt.want) {
				t.Errorf("parseHeader() = %v; want %v", err, tt.want)
			}
		})
	}
}

// FuzzSegment damages a good file: whatever is read from it must be what was written,
// in its place, and everything else must fail with a known error.
func FuzzSegment(f *testing.F) {
	k := key(f, 1)
	good := file(f, k, 3)
	f.Add(uint16(0), []byte{}, uint16(0))
	f.Add(uint16(8), []byte{1}, uint16(0))
	f.Add(uint16(12), []byte{1}, uint16(0))
	f.Add(uint16(headerBytes+6+tagBytes), []byte{0xFF, 0xFF, 0xFF, 0xFF}, uint16(0))
	f.Add(uint16(headerBytes+6+tagBytes+4+40), []byte{1}, uint16(7))
	f.Add(uint16(len(good)-1), []byte{1}, uint16(100))
	f.Fuzz(func(t *testing.T, at uint16, xor []byte, cut uint16) {
		b := bytes.Clone(good[:max(0, len(good)-int(cut))])
		for i, x := range xor {
			if j := int(at) + i; j < len(b) {
				b[j] ^= x
			}
		}
		h, _, rest, err := parseHeader(k, tapeFile, b)
		if err != nil {
			known(t, err)
			return
		}
		for i := uint32(1); len(rest) > 0; i++ {
			r, n, err := h.openRecord(rest, i)
			if err != nil {
				known(t, err)
				return
			}
			if want := record(int64(10 + 80*(i-1))); i > 3 || r.Pos != want.Pos || !bytes.Equal(r.Payload, want.Payload) {
				t.Fatalf("record %d = %+v; nobody wrote that", i, r)
			}
			rest = rest[n:]
		}
	})
}

// FuzzPlain reads what verifies, yet was written by a wrong program.
func FuzzPlain(f *testing.F) {
	r := record(10)
	f.Add(appendPlain(nil, &r))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parsePlain(b)
		if err != nil {
			known(t, err)
			return
		}
		if got := appendPlain(nil, &r); r.N <= 0 || r.End() < r.Pos || !bytes.Equal(got[4:], b[4:]) {
			t.Errorf("parsePlain() = %+v of %x; it is written %x", r, b, got)
		}
	})
}

func known(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrKey) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrDamaged) && !errors.Is(err, errTorn) {
		t.Fatalf("error %v is of no known kind", err)
	}
}
