package linking_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchbay/patchbay/adapters/oem/ciscobib"
	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/adapters/oem/roles"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/sim"
	"github.com/patchbay/patchbay/adapters/oem/siprec"
)

var update = flag.Bool("update", false, "rewrite want.json of the corpus")

const corpus = "../testdata/dialects"

// message is a request of the corpus.
type message struct {
	method, uri string
	headers     [][2]string
	body        []byte
}

// Values is siprec.Headers.
func (m *message) Values(name string) []string {
	var list []string
	for _, h := range m.headers {
		if strings.EqualFold(h[0], name) {
			list = append(list, h[1])
		}
	}
	return list
}

func (m *message) get(name string) string {
	if v := m.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

func read(t *testing.T, file string) *message {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return readText(t, file, string(b))
}

func readText(t *testing.T, file, text string) *message {
	t.Helper()
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	head, body, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	words := strings.Fields(lines[0])
	if !ok || len(words) != 3 || words[2] != "SIP/2.0" {
		t.Fatalf("%s: not a request", file)
	}
	m := &message{method: words[0], uri: words[1], body: []byte(strings.ReplaceAll(body, "\n", "\r\n"))}
	for _, l := range lines[1:] {
		name, value, ok := strings.Cut(l, ":")
		if !ok {
			t.Fatalf("%s: header line %q", file, l)
		}
		m.headers = append(m.headers, [2]string{name, strings.TrimSpace(value)})
	}
	return m
}

// TestSimulator reads what the simulator sends in each dialect, which others have written
// after the same facts: nobody is taken for the other, and what is mixed is known to be.
func TestSimulator(t *testing.T) {
	const customer, agent = "5550100001", "5550100002" // the simulator's
	for _, name := range sim.Dialects() {
		t.Run(name, func(t *testing.T) {
			list, err := sim.Messages(name)
			if err != nil {
				t.Fatal(err)
			}
			linker, _ := linking.New(linking.Settings{})
			dialogs := map[string]*dialog{}
			for _, b := range list {
				m := readText(t, name, strings.ReplaceAll(string(b), "\r\n", "\n"))
				if m.method != "INVITE" && m.method != "UPDATE" {
					continue
				}
				id := m.get("Call-ID")
				if dialogs[id] == nil {
					dialogs[id] = newDialog()
					if m.get(ciscobib.HeaderPair) != "" {
						dialogs[id].before = len(dialogs) - 1
					}
				}
				for _, voice := range dialogs[id].take(t, name, m, linker).Voices {
					mixed := strings.Contains(voice, ", mixed")
					if mixed != (strings.HasPrefix(name, "broadworks") || strings.HasPrefix(name, "metaswitch")) {
						t.Errorf("mixed is %v: %s", mixed, voice)
					}
					if !mixed && (strings.Contains(voice, customer) && strings.Contains(voice, "human_agent") || strings.Contains(voice, agent) && strings.Contains(voice, "end_user")) {
						t.Errorf("%s is not who speaks", voice)
					}
				}
			}
		})
	}
}

// verdict is what the readers make of one request, and of the dialog so far.
type verdict struct {
	File    string   `json:"file"`
	Mark    string   `json:"mark,omitempty"` // that it is a recording call
	Vendor  string   `json:"vendor,omitempty"`
	Odd     []string `json:"odd,omitempty"`
	Lines   []string `json:"lines,omitempty"`
	Changes []string `json:"changes,omitempty"`
	View    string   `json:"view,omitempty"`
	Voices  []string `json:"voices"`
	Link    *link    `json:"link,omitempty"` // of the first request of a dialog
}

type link struct {
	Conversation string            `json:"conversation"`
	How          string            `json:"how"`
	CallKey      string            `json:"call_key"`
	Dialled      string            `json:"dialled,omitempty"`
	Caller       string            `json:"caller,omitempty"`
	Called       string            `json:"called,omitempty"`
	Aliases      []string          `json:"aliases,omitempty"`
	Claims       map[string]string `json:"claims,omitempty"`
	Warnings     []string          `json:"warnings,omitempty"`
}

// dialog is one recording dialog as an adapter would keep it.
type dialog struct {
	view    siprec.View
	fork    *ciscobib.Fork
	parties []ciscobib.Participant
	first   *message
	agreed  *sdp.Agreement
	before  int
	choices sdp.Choices
}

func newDialog() *dialog {
	port := 20000
	return &dialog{choices: sdp.Choices{
		Address: netip.MustParseAddr("192.0.2.10"), Session: 1, PlainKeys: true,
		Port: func(int) (int, error) { port += 2; return port, nil },
	}}
}

func (d *dialog) take(t *testing.T, file string, m *message, linker *linking.Linker) verdict {
	t.Helper()
	v := verdict{File: filepath.Base(file)}
	fail := func(what string, err error) {
		if err != nil {
			t.Fatalf("%s: %s: %v", file, what, err)
		}
	}
	odd := func(err error) {
		if err != nil {
			v.Odd = append(v.Odd, strings.Split(err.Error(), "\n")...)
		}
	}
	b := siprec.Split(m.get("Content-Type"), m.body)
	odd(b.Odd)
	if b.Metadata != nil {
		doc, err := siprec.ParseMetadata(b.Metadata)
		fail("metadata", err)
		d.view.Apply(doc)
		v.View = d.view.String()
	}
	origin := ""
	if b.SDP != nil {
		offer, err := sdp.Parse(b.SDP)
		fail("description", err)
		v.Odd = append(v.Odd, offer.Odd...)
		origin = offer.Origin.User
		now, err := sdp.Answer(offer, d.agreed, d.choices)
		fail("answer", err)
		for _, c := range sdp.Changes(d.agreed, now) {
			v.Changes = append(v.Changes, fmt.Sprintf("%d %s", c.Index, c.Kind))
		}
		d.agreed = now
	} else if d.first == nil {
		now, err := sdp.Offer(nil, d.choices)
		fail("offer", err)
		d.agreed = now
	}
	if d.first == nil {
		d.first = m
		v.Mark, _ = siprec.Recording(m, b)
		if f, ok := ciscobib.ParseFrom(m.get("From")); ok {
			d.fork = &f
		}
	}
	v.Vendor = string(siprec.Recognise(m, &d.view, origin))
	var lines []roles.Line
	for _, s := range d.agreed.Streams {
		v.Lines = append(v.Lines, describe(s))
		if s.Kind == "audio" {
			lines = append(lines, roles.Line{Index: s.Index, Label: s.Label, Ended: !s.Accepted})
		}
	}
	if list := m.Values(ciscobib.HeaderParticipant); len(list) > 0 {
		d.parties = ciscobib.Participants(list, len(d.agreed.Streams))
	}
	for _, voice := range roles.Assign(roles.Input{Lines: lines, View: &d.view, Headers: d.first, Fork: d.fork, Parties: d.parties, Before: d.before}) {
		v.Voices = append(v.Voices, hear(voice))
	}
	if m == d.first {
		k := linker.Link(linking.Request{
			Trusted: true, URI: m.uri, From: m.get("From"), To: m.get("To"), CallID: m.get("Call-ID"),
			Headers: m, View: &d.view, Fork: d.fork,
		})
		if !linking.ValidID(k.Conversation) && k.Name == nil {
			t.Errorf("%s: conversation %q is not valid", file, k.Conversation)
		}
		v.Link = &link{k.Conversation, fmt.Sprintf("%s (%s)", k.How, k.Evidence), k.CallKey, k.Dialled, k.Caller, k.Called, k.Aliases, k.Claims, k.Warnings}
	}
	return v
}

func describe(s sdp.Stream) string {
	if !s.Accepted {
		return fmt.Sprintf("%s %s: refused, %s", s.Kind, s.Label, s.Refused)
	}
	state := "receives"
	if !s.Receive {
		state = "held"
	}
	keys := ""
	if s.Theirs != nil {
		keys = " " + string(s.Theirs.Suite)
	}
	return fmt.Sprintf("audio %s: %s %d of %d from %v%s, %s", s.Label, s.Codec.Codec, s.Codec.Type, len(s.Payloads), s.Remote, keys, state)
}

func hear(v roles.Voice) string {
	who := string(v.Speaker.Role)
	if v.Mixed {
		who += ", mixed"
	}
	if v.Speaker.Assumed {
		who += ", assumed"
	}
	var parties []string
	for _, p := range v.Parties {
		parties = append(parties, strings.TrimSpace(p.Name+" "+p.Address))
	}
	return fmt.Sprintf("%d %q is %s: %s (%s) %q", v.Index, v.Label, v.Speaker.ID, who, v.Speaker.Evidence, parties)
}

// TestGolden holds what is made of every dialect against want.json.
func TestGolden(t *testing.T) {
	folders, err := filepath.Glob(corpus + "/*/*1-*.sip")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	seen := map[string]bool{}
	for _, f := range folders {
		folder := filepath.Dir(f)
		if seen[folder] {
			continue
		}
		seen[folder] = true
		t.Run(filepath.Base(folder), func(t *testing.T) {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			if err := e.Encode(run(t, folder)); err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(folder, "want.json")
			if *update {
				if err := os.WriteFile(want, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if have, err := os.ReadFile(want); err != nil || !bytes.Equal(have, b.Bytes()) {
				t.Errorf("%s differs (%v); go test -run Golden -update writes it anew. Now:\n%s", want, err, b.Bytes())
			}
		})
	}
}

// run plays the dialogs of a folder; requests come in the order of their names.
func run(t *testing.T, folder string) []verdict {
	files, _ := filepath.Glob(folder + "/*.sip")
	linker, err := linking.New(linking.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	dialogs := map[byte]*dialog{}
	keys := map[string]int{}
	var list []verdict
	for _, f := range files {
		name := filepath.Base(f)[0]
		d := dialogs[name]
		m := read(t, f)
		if d == nil {
			d = newDialog()
			if pair := ciscobib.PairKey(m.get(ciscobib.HeaderPair)); pair != "" {
				d.before = keys[pair]
				keys[pair]++
			}
			dialogs[name] = d
		}
		list = append(list, d.take(t, f, m, linker))
	}
	return list
}
