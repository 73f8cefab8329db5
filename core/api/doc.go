// Package api is patchbay's HTTP interface for agent desktops and operators: the
// calls with what was said and suggested, a push stream of each call's events,
// feedback, attach and detach, and the probes and metrics of the host. It owns the
// wire and who may use it; calls belong to core/call, adapters to whom main hands
// over.
//
// One bearer token opens everything. Without a token the API serves loopback
// addresses alone, and no web page from elsewhere.
package api
