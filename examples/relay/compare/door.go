package main

import "fmt"

// system is one of those that are compared: the relay, or patchbay behind one of its
// doors.
type system string

const (
	relaySystem     system = "relay"
	patchbaySystem  system = "patchbay" // Twilio's door, which is the relay's too
	five9System     system = "five9"
	nativeSystem    system = "native"
	audiohookSystem system = "audiohook"
	oemSystem       system = "oem" // SIPREC
)

// The simulated accounts. Nothing here is a secret: they exist on loopback for the
// length of a run.
const (
	account      = "AC00000000000000000000000000000001"
	organization = "00000000-0000-4000-8000-000000000001"
	authToken    = "00000000000000000000000000000000"
	streamSecret = "compare0stream0secret0000"
)

// door is an adapter with its simulator.
type door struct {
	plugin   string
	listener string
	settings string
	route    string // what its route says beside profile
	simulate func(p *process) []string
}

var doors = map[system]door{
	relaySystem: {plugin: "twilio", simulate: func(p *process) []string { return twilio(p, "ws://localhost/stream") }},
	patchbaySystem: {
		plugin: "twilio", listener: "http",
		settings: `{public_url: "http://localhost/twilio", accounts: [{sid: ` + account + `, auth_token: "env:COMPARE_TOKEN", stream_secrets: ["env:COMPARE_SECRET"]}]}`,
		simulate: func(p *process) []string { return twilio(p, "ws://localhost/twilio/stream") },
	},
	five9System: {
		plugin: "five9", listener: "grpc",
		settings: `{subscriptions: [{name: main, domain: "131096", trust_tokens: ["env:COMPARE_TOKEN"]}]}`,
		simulate: func(p *process) []string {
			return []string{"--target", p.address, "--token", "env:SIM_TOKEN", "--encoding", "MULAW"}
		},
	},
	nativeSystem: {
		plugin: "native", listener: "grpc",
		settings: `{clients: [{account: oem, tokens: ["env:COMPARE_TOKEN"]}]}`,
		route:    "relay: [calls]",
		simulate: func(p *process) []string { return []string{"--address", p.address, "--token", "env:SIM_TOKEN"} },
	},
	audiohookSystem: {
		plugin: "audiohook", listener: "http",
		settings: `{accounts: [{organization: ` + organization + `, keys: [{api_key: "env:COMPARE_TOKEN", client_secret: "env:COMPARE_TOKEN"}]}]}`,
		simulate: func(p *process) []string {
			return []string{"--url", "ws://localhost/audiohook", "--connect", "http://" + p.address, "--organization", organization,
				"--api-key", "env:SIM_TOKEN", "--client-secret", "env:SIM_TOKEN", "--chunk", "20ms"} // as often as the others
		},
	},
	oemSystem: {
		plugin: "oem", listener: "sip_tcp",
		settings: `{trunks: [{name: sbc, addresses: ["127.0.0.1"]}]}`,
		simulate: func(p *process) []string { return []string{"--to", "sip:recorder@" + p.address + ";transport=tcp"} },
	},
}

func twilio(p *process, stream string) []string {
	return []string{"--stream", stream, "--connect", "http://" + p.address, "--account", account,
		"--auth-token", "env:SIM_TOKEN", "--secret", "env:SIM_SECRET"}
}

// config is the adapter's part of the host's file.
func (d door) config(address string) string {
	return fmt.Sprintf(`adapters: [{name: door, plugin: %s, listen: {%s: "%s"}, settings: %s}]
routes: [{match: {}, profile: demo, %s}]`, d.plugin, d.listener, address, d.settings, d.route)
}
