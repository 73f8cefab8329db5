package sim

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMessages are readable as they are meant: heads by a strict reader, descriptions
// complete, nothing of a template left.
func TestMessages(t *testing.T) {
	for _, name := range Dialects() {
		t.Run(name, func(t *testing.T) {
			list, err := Messages(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range list {
				m, err := parseDatagram(b)
				if err != nil {
					t.Fatalf("%v in\n%s", err, b)
				}
				for _, want := range []string{"From", "To", "Call-ID", "CSeq", "Via", "Max-Forwards"} {
					if m.value(want) == "" {
						t.Errorf("no %s in\n%s", want, b)
					}
				}
				if n, method := m.cseq(); method != m.method() || n < 1 {
					t.Errorf("CSeq %q of %s", m.value("CSeq"), m.start)
				}
				for _, left := range []string{"{{", "}}", "<no value>", "LENGTH", "%!"} {
					if bytes.Contains(b, []byte(left)) {
						t.Errorf("%q is left in\n%s", left, b)
					}
				}
				if bytes.Contains(bytes.ReplaceAll(b, []byte("\r\n"), nil), []byte("\n")) {
					t.Errorf("a line ends without CR in\n%s", b)
				}
				if strings.Contains(string(m.body), "v=0") {
					_, body, _ := bytes.Cut(b, []byte("v=0"))
					d, err := readDescription(append([]byte("v=0"), body...))
					if err != nil || len(d.media) == 0 {
						t.Errorf("description with %d sections, %v", len(d.media), err)
					}
				}
			}
		})
	}
}
