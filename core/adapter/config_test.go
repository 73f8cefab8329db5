package adapter_test

import (
	"testing"

	"github.com/patchbay/patchbay/core/adapter"
)

func TestDigits(t *testing.T) {
	for in, want := range map[adapter.E164]string{
		"+15550100": "15550100", "0015550100": "15550100", "15550100": "15550100", "+1 (555) 01-00": "15550100",
		"anonymous": "anonymous", "": "", "+": "+", "000": "000", "7602@host": "7602@host",
	} {
		if got := in.Digits(); got != want {
			t.Errorf("E164(%q).Digits() = %q; want %q", string(in), got, want)
		}
	}
}

func TestMissingListeners(t *testing.T) {
	ls := []adapter.Listener{
		{Name: "http", Network: adapter.NetworkTCP},
		{Name: "sip_udp", Network: adapter.NetworkUDP, AnyOf: "sip"},
		{Name: "sip_tcp", Network: adapter.NetworkTCP, AnyOf: "sip"},
	}
	for _, tt := range []struct {
		listen map[string]bool
		want   string
	}{
		{nil, "listen.http: the adapter needs this listener; give it a tcp address, such as :8443\nlisten: the adapter needs one of sip_udp, sip_tcp; give at least one an address, such as :5060"},
		{map[string]bool{"http": true}, "listen: the adapter needs one of sip_udp, sip_tcp; give at least one an address, such as :5060"},
		{map[string]bool{"http": true, "sip_tcp": true}, ""},
		{map[string]bool{"http": true, "sip_tcp": true, "sip_udp": true}, ""},
	} {
		if got := adapter.MissingListeners(ls, func(name string) bool { return tt.listen[name] }).Error(); got != tt.want {
			t.Errorf("MissingListeners with %v = %q; want %q", tt.listen, got, tt.want)
		}
	}
	for name, want := range map[string]string{"udp": "udp", "sip_udp": "udp", "http": "tcp", "udp_door": "tcp", "": "tcp"} {
		if got := adapter.NetworkOf(name); got != want {
			t.Errorf("NetworkOf(%q) = %q; want %q", name, got, want)
		}
	}
}
