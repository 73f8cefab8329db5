// Package networks reads lists of networks that a vendor may come from.
package networks

import (
	"fmt"
	"net/netip"

	"github.com/patchbay/patchbay/core/adapter"
)

// Parse reads "10.0.0.0/8" or a single address.
func Parse(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Unmap().Prefix(a.Unmap().BitLen())
}

// Check adds a problem for each text of a setting that Parse does not read.
func Check(ps *adapter.Problems, key string, texts []string) {
	for i, s := range texts {
		if _, err := Parse(s); err != nil {
			ps.Add(fmt.Sprintf("%s[%d]", key, i), s, "it is neither a network nor an address", "write it like 198.51.100.0/24")
		}
	}
}
