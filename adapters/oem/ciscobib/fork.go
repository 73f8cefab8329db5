package ciscobib

import (
	"fmt"
	"strings"

	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

// maxValue is the longest value of a parameter that is kept, in bytes.
const maxValue = 256

// Fork is one of the two recording calls that CUCM makes for a recorded call (Cisco,
// "Recording Use Cases", release 15): the near end is the recorded agent, the far end
// the other party.
type Fork struct {
	Near, Far bool // which of the two this is; both are false where it is not said

	// Ref is the agent's leg (x-refci): equal in both forks.
	Ref, Cluster, Device, Address string
	// FarRef and the others describe the other party's leg.
	FarRef, FarCluster, FarDevice, FarAddress string
}

// ParseFrom reads the parameters of a raw From header's URI. It is not ok where nothing
// says that this is a fork. Names count without case, valueless ones too.
func ParseFrom(from string) (Fork, bool) {
	var f Fork
	found := false
	for name, value := range parameters(siprec.URI(strings.ToValidUTF8(from, ""))) {
		hit := true
		switch name {
		case "x-nearend":
			f.Near = true
		case "x-farend", "x-farrend": // one sample misspells it
			f.Far = true
		case "x-refci":
			f.Ref = value
		case "x-nearendclusterid":
			f.Cluster = value
		case "x-nearenddevice":
			f.Device = value
		case "x-nearendaddr":
			f.Address = value
		case "x-farendrefci":
			f.FarRef = value
		case "x-farendclusterid":
			f.FarCluster = value
		case "x-farenddevice":
			f.FarDevice = value
		case "x-farendaddr":
			f.FarAddress = value
		default:
			hit = false
		}
		found = found || hit
	}
	if f.Near && f.Far {
		f.Near, f.Far = false, false // it says both, so it says nothing
	}
	return f, found
}

// Key pairs the forks of one call: cluster and agent's leg. It is empty where the fork
// does not name its leg.
func (f Fork) Key() string {
	if f.Ref == "" {
		return ""
	}
	return "cucm:" + f.Cluster + "/" + f.Ref
}

// Line names the agent's telephone line, by which a restarted recording is linked to the
// one before; empty where it is not said.
func (f Fork) Line() string {
	if f.Device == "" && f.Address == "" {
		return ""
	}
	return f.Cluster + "/" + f.Device + "/" + f.Address
}

// Claims is what the fork says, by Cisco's names.
func (f Fork) Claims() map[string]string {
	m := map[string]string{}
	for name, value := range map[string]string{
		"x-refci": f.Ref, "x-nearendclusterid": f.Cluster, "x-nearenddevice": f.Device, "x-nearendaddr": f.Address,
		"x-farendrefci": f.FarRef, "x-farendclusterid": f.FarCluster, "x-farenddevice": f.FarDevice, "x-farendaddr": f.FarAddress,
	} {
		if value != "" {
			m[name] = value
		}
	}
	return m
}

// String says which fork it is, without addresses.
func (f Fork) String() string {
	side := "unnamed end"
	switch {
	case f.Near:
		side = "near end"
	case f.Far:
		side = "far end"
	}
	return fmt.Sprintf("%s of x-refci %s", side, f.Ref)
}

// parameters yields the parameters of a URI, names in lower case, values decoded.
func parameters(uri string) func(yield func(name, value string) bool) {
	return func(yield func(string, string) bool) {
		uri, _, _ = strings.Cut(uri, "?")
		_, rest, _ := strings.Cut(uri, ";")
		for rest != "" {
			var one string
			one, rest, _ = strings.Cut(rest, ";")
			name, value, _ := strings.Cut(one, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			value = unescape(strings.Trim(strings.TrimSpace(value), `"`))
			if name != "" && len(value) <= maxValue && !yield(name, value) {
				return
			}
		}
	}
}

// unescape decodes %XX; what is no escape stays.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if c := hi<<4 | lo; hi >= 0 && lo >= 0 && c >= ' ' && c < 0x7f {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
