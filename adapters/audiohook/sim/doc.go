// Package sim plays Genesys Cloud: an AudioHook client as strict as Genesys' reference
// implementation, which signs, opens, pings, pauses, counts positions, limits the
// server's messages, and closes. It is the simulator of the plugin and the peer of the
// adapter's tests.
package sim
