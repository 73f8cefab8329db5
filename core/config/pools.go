package config

import (
	"strings"
	"time"

	"github.com/patchbay/patchbay/core/adapter"
)

// maxLease is how long a number may be leased.
const maxLease = 24 * time.Hour

func (v *validator) pools(c *Config) {
	seen, owner := map[string]int{}, map[string]string{}
	for i, p := range c.NumberPools {
		key := at("number_pools", i)
		v.name(key+".name", p.Name, i, seen)
		v.reference(key+".adapter", p.Adapter, instanceNames(c.Adapters), false)
		v.reference(key+".tenant", p.Tenant, tenantNames(c), len(c.Tenants) > 0)
		if p.TTL != 0 {
			v.duration(key+".ttl", p.TTL, time.Second, maxLease)
		}
		if len(p.Numbers) == 0 {
			v.Add(key+".numbers", "", "none, so there is nothing to lease", "list the numbers as the vendor sends them, such as +15550160")
		}
		for j, n := range p.Numbers {
			key := at(key+".numbers", j)
			digits := adapter.E164(n).Digits()
			switch other, taken := owner[digits]; {
			case digits == "" || strings.Trim(digits, "0123456789") != "":
				v.Add(key, shorten(n), "not a telephone number", "write it like +15550160")
			case taken:
				v.Add(key, n, "is "+other+" already", "a number stands in one pool, once: delete one of them")
			default:
				owner[digits] = key
			}
		}
	}
}
