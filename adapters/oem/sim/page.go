package sim

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"text/template"
	"time"
)

// page is what the templates of a dialect's messages can say.
type page struct {
	Method    string
	Target    string // request URI
	Via       string
	To        string // URI that was called
	FromTag   string
	ToTag     string // ";tag=…" within a dialog
	CallID    string
	CSeq      int
	Host      string // own address and port of SIP
	IP        string // own address
	Transport string // tcp
	Same      string // within a dialog: From and Contact lines of its INVITE

	Customer, Agent string // numbers: +15550100001
	Caller, Called  string // the same two, by the direction of the call
	Outbound        bool
	Now             time.Time
	Conversation    string // full name of a conversation, for systems that name one
	Expires         int    // session interval in seconds, 0 for none

	Phase   string // of the call's story
	Seed    string // of ids
	Version int    // of the description
	Session uint64 // id of the description
	Zero    bool   // held by a connection address of zero
	Tracks  []section
}

// section is an m= section of the description.
type section struct {
	Index      int // from 0
	Label      string
	Port       string // 0: ended
	Profile    string
	Formats    string // payload numbers
	Attributes string // rtpmap, fmtp, ptime, crypto lines
	Direction  string // sendonly or inactive; "a=" lines are the template's
	Speaker    string // customer, agent, third, both
}

// Addr is the connection address: 0.0.0.0 while held that way.
func (p page) Addr() string {
	if p.Zero {
		return "0.0.0.0"
	}
	return p.IP
}

//go:embed dialects/*.sip
var dialectFiles embed.FS

var functions = template.FuncMap{
	"digits": digits, "national": national,
}

// Date is the time in the form of RFC 3339.
func (p page) Date() string { return p.Now.UTC().Format("2006-01-02T15:04:05Z") }

// Bare is Date without a zone.
func (p page) Bare() string { return p.Now.UTC().Format("2006-01-02T15:04:05") }

// UUID is an id of the call by its name, the same in all messages.
func (p page) UUID(name string) string {
	h := sha256.Sum256([]byte(p.Seed + name))
	x := hex.EncodeToString(h[:16])
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// ID is an id in the form of RFC 7865: the UUID in base64.
func (p page) ID(name string) string {
	h := sha256.Sum256([]byte(p.Seed + name))
	return base64.StdEncoding.EncodeToString(h[:16])
}

// Hex is an id of so many hexadecimal digits, up to 64.
func (p page) Hex(name string, n int) string {
	h := sha256.Sum256([]byte(p.Seed + name))
	return hex.EncodeToString(h[:])[:n]
}

// UCID is Avaya's id of the call, 20 digits; UCIDHex is the same as it stands in
// User-to-User: node, number and time in hexadecimal.
func (p page) UCID() string {
	h := sha256.Sum256([]byte(p.Seed + "ucid"))
	return fmt.Sprintf("%05d%05d%010d", binary.BigEndian.Uint16(h[:]), binary.BigEndian.Uint16(h[2:]), binary.BigEndian.Uint32(h[4:]))
}

// UCIDHex is described at UCID.
func (p page) UCIDHex() string {
	h := sha256.Sum256([]byte(p.Seed + "ucid"))
	return strings.ToUpper(hex.EncodeToString(h[:8]))
}

// Number is an id of so many decimal digits, up to 18; its first is not 0.
func (p page) Number(name string, n int) string {
	h := sha256.Sum256([]byte(p.Seed + name))
	b := []byte{'1' + h[0]%9}
	for _, v := range h[1:n] {
		b = append(b, '0'+v%10)
	}
	return string(b)
}

func digits(number string) string { return strings.TrimPrefix(number, "+") }

// national is a North American number without its country code.
func national(number string) string { return strings.TrimPrefix(digits(number), "1") }

// templates are those of one dialect, with the ones that all share.
func (d *dialect) templates() (*template.Template, error) {
	return template.New(d.name).Funcs(functions).ParseFS(dialectFiles, "dialects/common.sip", "dialects/"+d.file()+".sip")
}

// renderBody makes a body alone, with line ends as SIP wants them.
func renderBody(t *template.Template, name string, p page) ([]byte, error) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, p); err != nil {
		return nil, err
	}
	text := strings.Trim(b.String(), "\n")
	return []byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"), nil
}

// render makes a message: lines end as SIP wants it, and the length is filled in.
func render(t *template.Template, name string, p page) ([]byte, error) {
	text, err := draft(t, name, p)
	if err != nil {
		return nil, err
	}
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n\r\n")
	head = strings.ReplaceAll(head, "LENGTH", fmt.Sprint(len(body)))
	return []byte(head + "\r\n\r\n" + body), nil
}

// draft makes a message with plain line ends, and LENGTH where its length goes.
func draft(t *template.Template, name string, p page) (string, error) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, p); err != nil {
		return "", err
	}
	head, body, ok := strings.Cut(strings.TrimLeft(b.String(), "\n"), "\n\n")
	if !ok {
		head = strings.TrimRight(head, "\n")
	}
	if body = strings.TrimRight(body, "\n"); body != "" { // the end of a template's text is not the body's
		body += "\n"
	}
	return head + "\n\n" + body, nil
}
