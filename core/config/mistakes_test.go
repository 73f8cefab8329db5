package config

import (
	"errors"
	"strings"
	"testing"
)

// least is the smallest file without a mistake; rows of the table add to it.
const least = "google: {project: p}\nadapters: [{name: a, plugin: b}]\nroutes: [{profile: demo}]\n"

func TestMistakes(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string // without "patchbay.yaml:" in front
	}{
		{"empty", "", []string{
			" adapters: none, so nothing could call; write at least one: - {name: …, plugin: …}",
			" routes: none, so every call would be refused; write at least one: - {match: {}, profile: …}",
		}},
		{"not YAML", "api:\n  listen: [\n", []string{
			"2: not YAML: did not find expected node content; look at indentation, colons and quotes there and in the next line",
		}},
		{"two documents", least + "---\napi: {}\n", []string{
			"4: a second document begins; delete the line --- and write one document",
		}},
		{"a list at the top", "- a\n", []string{
			"1: this is a list, not keys with values; write key: value pairs, indented, or {key: value}",
		}},
		{"unknown keys", least + "apis: {}\nlog: {colour: red, lvel: info}\n", []string{
			`4: apis: unknown key; did you mean "api"?`,
			"5: log.colour: unknown key; known here: level, format",
			`5: log.lvel: unknown key; did you mean "level"?`,
		}},
		{"twice", least + "log: {level: info}\nlog:\n  level: warn\n  level: warn\n", []string{
			"5: log: written twice, first in line 4; delete one of them",
		}},
		{"twice in settings", "google: {project: p}\nroutes: [{profile: demo}]\nadapters:\n  - name: a\n    plugin: b\n    settings:\n      x: 1\n      x: 2\n", []string{
			"8: adapters[0].settings.x: written twice, first in line 7; delete one of them",
		}},
		{"wrong kinds", "api: here\nadapters: {name: a}\nroutes:\n  - demo\nlimits:\n  calls: many\n  memory_per_track: 5\n  grace: 5\ngoogle:\n  insecure: yes\n  project: [p]\n", []string{
			`1: api = "here": this is one value, not keys with values; write key: value pairs, indented, or {key: value}`,
			"2: adapters: this is keys with values, not a list; begin each item with - or write [a, b]",
			`4: routes[0] = "demo": this is one value, not keys with values; write key: value pairs, indented, or {key: value}`,
			`6: limits.calls = "many": not a whole number; write digits alone`,
			`7: limits.memory_per_track = "5": not an amount of memory; write it like 512KiB or 2MiB`,
			`8: limits.grace = "5": not a length of time; write it like 20ms or 5m`,
			`10: google.insecure = "yes": neither true nor false; write true or false`,
			"11: google.project: this is a list, not one value; write it on one line after the colon",
		}},
		{"anchors, aliases, merges and tags", "google: &g {project: p}\nadapters: *g\nlog:\n  <<: *g\n  level: !x info\n", []string{
			"1: google: anchors (&) and aliases (*) are not understood here; write the value out, in quotes if it begins with such a sign",
			"2: adapters: anchors (&) and aliases (*) are not understood here; write the value out, in quotes if it begins with such a sign",
			`4: log.<<: unknown key; known here: level, format`,
			"5: log.level: the tag !x is not understood here; write the value alone, in quotes if it begins with !",
		}},
		{"a key that is a list", least + "log:\n  [a]: b\n", []string{
			"5: log: a key that is not a word; write key: value",
		}},
		{"api", least + "api:\n  listen: 0.0.0.0:8080\n  tls: {}\n", []string{
			"4: api.token: missing, while api.listen \"0.0.0.0:8080\" can be reached from other machines; write token: env:NAME, or listen on 127.0.0.1",
			"6: api.tls.cert: missing; write the path of the certificate with its chain, in PEM",
			"6: api.tls.key: missing; write the path of the private key, in PEM",
		}},
		{"api on one interface", least + "api:\n  listen: localhost:8080\n", nil},
		{"secret in the file", least + "api: {token: hunter2}\n", []string{
			"4: api.token: a secret must not stand in the file; put it into the environment or a file and write env:NAME or file:PATH here",
		}},
		{"secret that is not set", least + "api: {token: 'env:NOT_SET'}\n", []string{
			`4: api.token = "env:NOT_SET": the environment variable "NOT_SET" is not set; set it before the start`,
		}},
		{"secret that is empty", least + "api: {token: 'env:EMPTY'}\n", []string{
			`4: api.token = "env:EMPTY": the environment variable "EMPTY" is empty; set it before the start`,
		}},
		{"secret without a name", least + "api: {token: 'env:'}\n", []string{
			`4: api.token = "env:": env: names no variable; write env:NAME`,
		}},
		{"secret in no file", least + "api: {token: 'file:/does/not/exist'}\n", []string{
			`4: api.token = "file:/does/not/exist": there is no file /does/not/exist; create it, or correct the path`,
		}},
		{"secret in a folder", least + "api: {token: 'file:/'}\n", []string{
			`4: api.token = "file:/": / is not a file; name a file`,
		}},
		{"files that are not there", least + "api: {tls: {cert: /no/c.pem, key: /no/k.pem}}\n", []string{
			"4: api.tls.cert: there is no file /no/c.pem; create it, or correct the path",
			"4: api.tls.key: there is no file /no/k.pem; create it, or correct the path",
		}},
		{"addresses", "google: {project: p}\nroutes: [{profile: demo}]\nadapters:\n  - name: a\n    plugin: b\n    listen:\n      one: 8443\n      two: http://host:1\n      three: host\n      four: ':http'\n      five: ':99999'\n      six: ''\n      seven: ':0'\n      eight: ':0'\n", []string{
			`7: adapters[0].listen.one = "8443": a port without its colon; write ":8443"`,
			`8: adapters[0].listen.two = "http://host:1": an address, not a URL, belongs here; write host:port, such as ":8443" or "127.0.0.1:8080"`,
			`9: adapters[0].listen.three = "host": not host:port; write host:port, such as ":8443" or "127.0.0.1:8080"`,
			`10: adapters[0].listen.four = ":http": not a port; write a number from 0 (any that is free) to 65535`,
			`11: adapters[0].listen.five = ":99999": not a port; write a number from 0 (any that is free) to 65535`,
			`12: adapters[0].listen.six: missing; write host:port, such as ":8443" or "127.0.0.1:8080"`,
		}},
		{"one port twice", "google: {project: p}\nroutes: [{profile: demo}]\nadapters:\n  - {name: a, plugin: b, listen: {x: '0.0.0.0:8080'}}\n  - {name: b, plugin: b, listen: {x: '127.0.0.2:8080', y: '[::1]:9000'}}\n  - {name: c, plugin: b, listen: {x: '[::]:9000'}}\n", []string{
			`4: adapters[0].listen.x = "0.0.0.0:8080": api.listen listens there already; choose another port`,
			`6: adapters[2].listen.x = "[::]:9000": adapters[1].listen.y listens there already; choose another port`,
		}},
		{"one port of two networks", "google: {project: p}\nroutes: [{profile: demo}]\nadapters:\n  - {name: a, plugin: b, listen: {sip_udp: ':5060', sip_tcp: ':5060'}}\n  - {name: b, plugin: b, listen: {sip_udp: '127.0.0.1:5060'}}\n", []string{
			`5: adapters[1].listen.sip_udp = "127.0.0.1:5060": adapters[0].listen.sip_udp listens there already; choose another port`,
		}},
		{"number pools", "google: {project: p}\nadapters: [{name: a, plugin: b}]\ntenants: [{name: t, accounts: [{adapter: a}]}]\nroutes: [{profile: demo, conversation_elsewhere: perhaps}]\nnumber_pools:\n  - {name: one, numbers: [+15550160, '0015550160', sales]}\n  - {name: one, adapter: z, tenant: t, ttl: 25h}\n", []string{
			`4: routes[0].conversation_elsewhere = "perhaps": unknown; write refuse or ignore`,
			`6: number_pools[0].tenant: missing; write t`,
			`6: number_pools[0].numbers[1] = "0015550160": is number_pools[0].numbers[0] already; a number stands in one pool, once: delete one of them`,
			`6: number_pools[0].numbers[2] = "sales": not a telephone number; write it like +15550160`,
			`7: number_pools[1].name = "one": the name of item 0 already; choose another`,
			`7: number_pools[1].adapter = "z": not defined in this file; write a`,
			`7: number_pools[1].ttl = "25h0m0s": out of bounds; write 1s to 24h0m0s`,
			`7: number_pools[1].numbers: none, so there is nothing to lease; list the numbers as the vendor sends them, such as +15550160`,
		}},
		{"google", "adapters: [{name: a, plugin: b}]\nroutes: [{profile: demo}]\ngoogle:\n  quota_project: projects/p\n  location: Mars\n  endpoint: localhost\n  insecure: true\n  credentials: /no/key.json\n", []string{
			"3: google.project: missing, and routes[0] names none either; write the id of the Google Cloud project",
			`4: google.quota_project = "projects/p": not the id of a project; write the id alone, such as my-project-123`,
			`5: google.location = "Mars": not a location of Dialogflow; write global, or a region such as europe-west1`,
			`6: google.endpoint = "localhost": not host:port; write host:port, such as ":8443" or "127.0.0.1:8080"`,
			`7: google.insecure = "true": credentials would travel without TLS; delete google.credentials, or this line`,
			"8: google.credentials: there is no file /no/key.json; create it, or correct the path",
		}},
		{"insecure to Google", "adapters: [{name: a, plugin: b}]\nroutes: [{profile: demo}]\ngoogle: {project: p, insecure: true}\n", []string{
			`3: google.insecure = "true": only the emulator is reached without TLS; name it in google.endpoint, or delete this line`,
		}},
		{"project of the route", "adapters: [{name: a, plugin: b}]\nroutes: [{profile: demo, project: p}]\n", nil},
		{"adapters", "google: {project: p}\nroutes: [{profile: demo}]\nadapters:\n  - {}\n  - {name: Twilio EU, plugin: 'twi lio'}\n  - {name: a, plugin: b, sha256: abc}\n  - {name: a, plugin: b, tls: {cert: ''}}\n", []string{
			"4: adapters[0].name: missing; write small letters, digits, - and _, at most 63",
			"4: adapters[0].plugin: missing; write the plugin's short name, such as twilio, or its path",
			`5: adapters[1].name = "Twilio EU": not a name; write small letters, digits, - and _, at most 63`,
			`5: adapters[1].plugin = "twi lio": neither a short name nor a path; write twilio for patchbay-adapter-twilio, or ./FILE`,
			`6: adapters[2].sha256 = "abc": not a SHA-256; write the 64 hexadecimal digits that sha256sum prints`,
			`7: adapters[3].name = "a": the name of item 2 already; choose another`,
			"7: adapters[3].tls.cert: missing; write the path of the certificate with its chain, in PEM",
			"7: adapters[3].tls.key: missing; write the path of the private key, in PEM",
		}},
		{"tenants", least + "tenants:\n  - {name: x, accounts: [{adapter: a, account: AC1}]}\n  - {name: x, accounts: [{adapter: a, account: AC1}, {adapter: aa}, {account: AC2}]}\n  - {name: y}\n", []string{
			`6: tenants[1].name = "x": the name of item 0 already; choose another`,
			`6: tenants[1].accounts[0] = "AC1": belongs to tenants[0].accounts[0] already; an account has one tenant: delete one of them`,
			`6: tenants[1].accounts[1].adapter = "aa": not defined in this file; write a`,
			"6: tenants[1].accounts[2].adapter: missing; write a",
			"7: tenants[2].accounts: none, so the tenant has no calls; write at least one: - {adapter: …, account: …}",
		}},
		{"routes", "google: {project: p}\nadapters: [{name: twilio-eu, plugin: b}]\nroutes:\n" +
			"  - {match: {adapter: twilio-us, tenant: acme, to: '+1555*'}}\n" +
			"  - {match: {to: '1'}, profile: a b, language: English (US), transport: extend, third_voice: ignor, roles: {inbound: costumer, outbound: x}}\n" +
			"  - {match: {to: '2'}, profile: demo, project: P, location: EU, limits: {calls: -1}}\n" +
			"  - {match: {to: '3'}, profile: projects/p/locations/us/conversationProfiles/x}\n" +
			"  - {match: {to: '4'}, profile: demo, profile_claim: aa}\n" +
			"  - {match: {to: '5'}, profile: demo, profiles: [a/b]}\n", []string{
			`4: routes[0].match.adapter = "twilio-us": not defined in this file; did you mean "twilio-eu"?`,
			`4: routes[0].match.tenant = "acme": not defined in this file; write default`,
			`4: routes[0].match.to = "+1555*": there are no patterns here; write a whole number, such as +15550100, and a route for each`,
			"4: routes[0].profile: missing; write the id of a conversation profile",
			`5: routes[1].profile = "a b": neither the id of a conversation profile nor its full name; write the id alone, or projects/P/locations/L/conversationProfiles/ID`,
			`5: routes[1].language = "English (US)": not a language tag; write it like en-US or es-ES`,
			`5: routes[1].transport = "extend": unknown; did you mean "extended"?`,
			`5: routes[1].third_voice = "ignor": unknown; did you mean "ignore"?`,
			`5: routes[1].roles.inbound = "costumer": unknown; did you mean "customer"?`,
			`5: routes[1].roles.outbound = "x": unknown; write customer, agent or other`,
			`6: routes[2].project = "P": not the id of a project; write the id alone, such as my-project-123`,
			`6: routes[2].location = "EU": not a location of Dialogflow; write global, or a region such as europe-west1`,
			`6: routes[2].limits.calls = "-1": too few; write 0 or more`,
			`7: routes[3].profile = "projects/p/locations/us/conversationProfiles/x": the profile lies in us, the route in global; set the route's location: us`,
			"8: routes[4].profiles: missing, so profile_claim could choose none; list the profiles that the field may name",
			"9: routes[5].profile_claim: missing, so nothing chooses among profiles; name the vendor's field, or delete profiles",
			`9: routes[5].profiles[0] = "a/b": neither the id of a conversation profile nor its full name; write the id alone, or projects/P/locations/L/conversationProfiles/ID`,
		}},
		{"routes that are never reached", "google: {project: p}\nadapters: [{name: a, plugin: b}]\nroutes:\n" +
			"  - {match: {to: '1', claims: {q: x}}, profile: demo}\n" +
			"  - {match: {to: '1', claims: {q: y}}, profile: demo}\n" +
			"  - {match: {adapter: a, to: '1', claims: {q: x, r: z}}, profile: demo}\n" +
			"  - {match: {}, profile: demo}\n" +
			"  - {match: {to: '2'}, profile: demo}\n", []string{
			"6: routes[2].match: never reached, because routes[0] takes all of these calls; move it up, or delete it",
			"8: routes[4].match: never reached, because routes[3] takes all of these calls; move it up, or delete it",
		}},
		{"limits", least + "limits: {calls: 0, legs_per_call: -1, tracks_per_call: 0, memory_per_track: 1KiB, grace: -1s}\n", []string{
			`4: limits.calls = "0": too few; write 1 or more`,
			`4: limits.legs_per_call = "-1": too few; write 1 or more`,
			`4: limits.tracks_per_call = "0": too few; write 1 or more`,
			`4: limits.memory_per_track = "1KiB": too little to outlast a change of streams; write at least 64KiB`,
			`4: limits.grace = "-1s": out of bounds; write 0s to 10m0s`,
		}},
		{"log", least + "log: {level: verbose, format: jsn}\n", []string{
			`4: log.format = "jsn": unknown; did you mean "json"?`,
			`4: log.level = "verbose": unknown; write debug, info, warn or error`,
		}},
		{"a ratio that is no share", least + "telemetry: {traces: {ratio: 10}}\n", []string{
			`4: telemetry.traces.ratio = "10": not a share; write 0 to 1: 0.1 traces one call of ten`,
		}},
		{"a ratio that is not a number", least + "telemetry: {traces: {ratio: .nan}}\n", []string{
			`4: telemetry.traces.ratio = "NaN": not a share; write 0 to 1: 0.1 traces one call of ten`,
		}},
		{"a ratio in words", least + "telemetry: {traces: {ratio: half}}\n", []string{
			`4: telemetry.traces.ratio = "half": not a number; write it like 0.25`,
		}},
		{"an endpoint without scheme", least + "telemetry: {traces: {endpoint: 'localhost:4318'}}\n", []string{
			`4: telemetry.traces.endpoint = "localhost:4318": not the URL of an OTLP receiver over HTTP; write it like http://localhost:4318`,
		}},
		{"a secret in the endpoint", least + "telemetry: {traces: {endpoint: 'https://me:hunter2@traces.example.com'}}\n", []string{
			`4: telemetry.traces.endpoint: a secret must not stand in the file; put headers into the environment variable OTEL_EXPORTER_OTLP_HEADERS`,
		}},
		{"the endpoint of gRPC", least + "telemetry: {traces: {endpoint: 'http://localhost:4317'}}\n", []string{
			`4: telemetry.traces.endpoint = "http://localhost:4317": 4317 is the port of OTLP over gRPC; name the receiver's port for OTLP over HTTP, which is 4318 as a rule`,
		}},
		{"an endpoint with a query", least + "telemetry: {traces: {endpoint: 'http://localhost:4318/v1/traces?key=1'}}\n", []string{
			`4: telemetry.traces.endpoint: more than a host and a path; write it like http://localhost:4318`,
		}},
		{"traces", least + "telemetry: {traces: {endpoint: 'https://traces.example.com/otlp/v1/traces', ratio: 0}}\n", nil},
		{"long values are cut", least + "log: {level: " + strings.Repeat("é", 100) + "}\n", []string{
			`4: log.level = "` + strings.Repeat("é", 60) + `…": unknown; write debug, info, warn or error`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.file)
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("Parse = %v; want no mistake", err)
				}
				return
			}
			found, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("Parse = %v; want an *Error", err)
			}
			got := strings.Split(found.Error(), "\n")
			want := make([]string, len(tt.want))
			for i, w := range tt.want {
				want[i] = "patchbay.yaml:" + w
			}
			compareLines(t, got, want)
		})
	}
}

// compareLines reports lines that are in one of two lists only; those of one line of
// the file may come in any order.
func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, l := range got {
		count[l]++
	}
	for _, l := range want {
		count[l]--
	}
	for _, l := range got {
		if count[l] > 0 {
			t.Errorf("not wanted: %s", l)
		}
	}
	for _, l := range want {
		if count[l] < 0 {
			t.Errorf("missing:    %s", l)
		}
	}
}

func TestTooLarge(t *testing.T) {
	_, err := parse("# " + strings.Repeat("x", MaxFileBytes))
	if err == nil || !strings.Contains(err.Error(), "larger than 4MiB") {
		t.Errorf("Parse of a huge file = %v; want it refused for its size", err)
	}
}
