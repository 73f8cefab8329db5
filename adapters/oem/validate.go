package oem

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay/patchbay/adapters/internal/networks"
	"github.com/patchbay/patchbay/adapters/oem/linking"
	"github.com/patchbay/patchbay/adapters/oem/receiver"
	"github.com/patchbay/patchbay/adapters/oem/sdp"
	"github.com/patchbay/patchbay/adapters/oem/signal"
	"github.com/patchbay/patchbay/core/adapter"
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Validate returns adapter.Problems with every mistake, or nil. It reads the file that
// client_ca names.
func (c Config) Validate() error {
	_, ps := compile(c)
	return ps.Err()
}

// compile makes an adapter of settings, or says what is wrong with them.
func compile(c Config) (*Adapter, adapter.Problems) {
	var ps adapter.Problems
	a := &Adapter{cfg: c, trunks: map[string]*trunk{}}
	a.sip = signal.Config{
		Insecure: c.Insecure, Realm: c.Realm, UserAgent: "patchbay",
		Contact:           signal.Contact{UDP: c.Contact.UDP, TCP: c.Contact.TCP, TLS: c.Contact.TLS},
		MinSessionExpires: time.Duration(c.Session.MinExpires), SessionExpires: time.Duration(c.Session.Expires),
		Limits: signal.Limits{Dialogs: c.Limits.MaxCalls, RequestRate: c.Limits.RequestRate},
	}
	if len(c.Trunks) == 0 && !c.Insecure {
		ps.Add("trunks", "", "none is listed, so nobody may call", "list name and addresses of the system that sends recording calls")
	}
	certificates := false
	for i, t := range c.Trunks {
		key := fmt.Sprintf("trunks[%d]", i)
		if a.trunks[t.Name] != nil {
			ps.Add(key+".name", t.Name, "another trunk has the same", "give each a name of its own")
		}
		made, wrong := t.compile(key)
		ps = append(ps, wrong...)
		a.trunks[t.Name] = made
		certificates = certificates || len(t.Certificates) > 0
		if t.states() || t.Name != DefaultTrunk || !c.Insecure {
			a.sip.Trunks = append(a.sip.Trunks, t.signalling(&ps, key))
		}
	}
	if certificates && c.ClientCA == "" {
		ps.Add("client_ca", "", "a trunk states certificates, and nobody says who signs them", "name the file with the CAs in PEM")
	}
	if c.ClientCA != "" {
		var err error
		if a.cas, err = readCAs(c.ClientCA); err != nil {
			ps.Add("client_ca", c.ClientCA, err.Error(), "point it at a file with certificates in PEM")
		}
	}
	a.address(&ps)
	a.audio(&ps)
	c.limits(&ps)
	return a, ps
}

// states reports whether a trunk asks for any proof.
func (t Trunk) states() bool { return len(t.Addresses)+len(t.Certificates)+len(t.Users) > 0 }

// compile makes the rules of a trunk ready for use.
func (t Trunk) compile(key string) (*trunk, adapter.Problems) {
	var ps adapter.Problems
	made := &trunk{Trunk: t}
	if !nameForm.MatchString(t.Name) {
		ps.Add(key+".name", t.Name, "a name is 1 to 40 lower-case letters, digits and -", "call it sbc, if there is only one")
	}
	word := func(name, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			ps.Add(key+"."+name, value, "there is no such choice", "write one of "+strings.Join(allowed, ", "))
		}
	}
	word("mixed", t.Mixed, MixedTapeOnly, MixedCustomer, MixedRefuse)
	word("srtp", t.SRTP, string(sdp.SRTPOptional), string(sdp.SRTPRequired), string(sdp.SRTPRefused))
	for i, codec := range t.Codecs {
		if !codec.Audio() {
			ps.Add(fmt.Sprintf("%s.codecs[%d]", key, i), string(codec), "it cannot be decoded", "write PCMU, PCMA, G722 or opus")
		}
	}
	made.media = prefixes(&ps, key+".media_networks", t.MediaNetworks)
	var err error
	if made.linker, err = linking.New(t.Linking); err != nil {
		ps.Add(key+".linking", "", err.Error(), "mend it, or leave linking out")
	}
	if err := t.Roles.Validate(); err != nil {
		ps.Add(key+".roles", "", err.Error(), "mend it, or leave roles out")
	}
	return made, ps
}

// signalling is what a trunk must prove.
func (t Trunk) signalling(ps *adapter.Problems, key string) signal.Trunk {
	s := signal.Trunk{Name: t.Name, Addresses: prefixes(ps, key+".addresses", t.Addresses), Certificates: t.Certificates}
	if !t.states() {
		ps.Add(key, "", "it states neither addresses nor certificates nor users, so nobody could prove to be it", "list the addresses that its requests come from")
	}
	for i, u := range t.Users {
		at := fmt.Sprintf("%s.users[%d]", key, i)
		if u.Name == "" || strings.ContainsAny(u.Name, "\"\\\r\n") {
			ps.Add(at+".name", u.Name, "it is empty or holds characters that no header carries", "write the user name of the system")
		}
		if len(u.Password) < 8 {
			ps.Add(at+".password", "", "it has fewer than 8 characters", "make one with: openssl rand -hex 16")
		}
		s.Users = append(s.Users, signal.User{Name: u.Name, Password: string(u.Password)})
	}
	return s
}

// prefixes reads addresses and networks.
func prefixes(ps *adapter.Problems, key string, texts []string) (list []netip.Prefix) {
	networks.Check(ps, key, texts)
	for _, text := range texts {
		if p, err := networks.Parse(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

func (a *Adapter) address(ps *adapter.Problems) {
	read := func(key, text string) (addr netip.Addr) {
		if text == "" {
			return addr
		}
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.IsUnspecified() {
			ps.Add(key, text, "it is no IP address of a machine", "write the address that the trunks reach, such as 192.0.2.1")
		}
		return addr
	}
	a.own = read("address", a.cfg.Address)
	a.media.Bind = read("media.bind", a.cfg.Media.Bind)
	switch {
	case a.media.Bind.IsValid():
	case a.own.IsValid():
		a.media.Bind = a.own
	default:
		a.media.Bind = netip.IPv4Unspecified()
	}
}

func (a *Adapter) audio(ps *adapter.Problems) {
	m := a.cfg.Media
	first, last, ok := strings.Cut(m.Ports, "-")
	var err1, err2 error
	a.media.First, err1 = strconv.Atoi(strings.TrimSpace(first))
	a.media.Last, err2 = strconv.Atoi(strings.TrimSpace(last))
	if !ok || err1 != nil || err2 != nil || a.media.First < 1024 || a.media.Last > 65535 || a.media.Last < a.media.First+3 {
		ps.Add("media.ports", m.Ports, "it is no range of ports from 1024 to 65535 with room for a call", "write it like "+DefaultPorts)
	}
	a.media.Rest, a.media.Hold = time.Duration(m.Rest), time.Duration(m.Jitter)
	if a.media.Rest == 0 {
		a.media.Rest = -1 // none, as it says
	}
	if m.Rest < 0 {
		ps.Add("media.rest", m.Rest.String(), "it is negative", "write 5s, or 0s for none")
	}
	if a.media.Hold < receiver.MinHold || a.media.Hold > receiver.MaxHold {
		ps.Add("media.jitter", m.Jitter.String(), fmt.Sprintf("it lies outside of %v to %v", receiver.MinHold, receiver.MaxHold), "write "+receiver.DefaultHold.String())
	}
	if m.Idle != 0 && time.Duration(m.Idle) < time.Second {
		ps.Add("media.idle", m.Idle.String(), "it is shorter than a second", "write 5m, or 0s to wait for ever")
	}
}

func (c Config) limits(ps *adapter.Problems) {
	atLeast := func(key string, value, least int) {
		if value < least {
			ps.Add(key, strconv.Itoa(value), fmt.Sprintf("it is less than %d", least), "write a larger number")
		}
	}
	atLeast("limits.max_calls", c.Limits.MaxCalls, 1)
	atLeast("limits.max_streams", c.Limits.MaxStreams, 1)
	if c.Limits.RequestRate <= 0 {
		ps.Add("limits.request_rate", fmt.Sprint(c.Limits.RequestRate), "nobody could call", "write 100")
	}
	if least := signal.DefaultMinSessionExpires; time.Duration(c.Session.MinExpires) < least {
		ps.Add("session.min_expires", c.Session.MinExpires.String(), "RFC 4028 allows no less than "+least.String(), "write 90s")
	}
	if c.Session.Expires != 0 && c.Session.Expires < c.Session.MinExpires {
		ps.Add("session.expires", c.Session.Expires.String(), "it is shorter than session.min_expires", "write 30m, or leave it out")
	}
}

func readCAs(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return pool, nil
}
