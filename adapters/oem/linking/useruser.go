package linking

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// UserToUser is one value of a User-to-User header (RFC 7433).
type UserToUser struct {
	Data    []byte // decoded
	Purpose string
	// UCID is Avaya's universal call id in the 20 digits that its desktops show; empty if
	// there is none.
	UCID string
}

// ParseUserToUser reads the values of User-to-User. Encoding is hex unless a value says
// otherwise; data that are no hex are text.
func ParseUserToUser(values []string) []UserToUser {
	var list []UserToUser
	for _, v := range values {
		if len(v) > maxInfo {
			continue
		}
		for _, entry := range split(v, ',') {
			if len(list) == maxEntries {
				return list
			}
			if u, ok := parseUserToUser(entry); ok {
				list = append(list, u)
			}
		}
	}
	return list
}

func parseUserToUser(entry string) (UserToUser, bool) {
	params := split(entry, ';')
	text := strings.Trim(strings.TrimSpace(params[0]), `"`)
	u := UserToUser{}
	encoding := "hex"
	for _, p := range params[1:] {
		name, value, _ := strings.Cut(p, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "encoding":
			encoding = strings.ToLower(value)
		case "purpose":
			u.Purpose = value
		}
	}
	u.Data = []byte(text)
	if encoding == "hex" {
		if raw, err := hex.DecodeString(text); err == nil {
			u.Data, u.UCID = raw, avaya(raw)
		}
	}
	return u, len(u.Data) > 0
}

// avaya finds the UCID in shared user-to-user information: a protocol discriminator,
// then elements of tag, length and value, of which 0xFA is the UCID: node, sequence
// number and time.
func avaya(data []byte) string {
	const tag, size = 0xFA, 8
	if len(data) == 0 || data[0] != 0 && data[0] != 4 {
		return ""
	}
	for data = data[1:]; len(data) >= 2 && len(data) >= 2+int(data[1]); data = data[2+int(data[1]):] {
		if value := data[2 : 2+int(data[1])]; data[0] == tag && len(value) == size {
			return fmt.Sprintf("%05d%05d%010d", binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:]), binary.BigEndian.Uint32(value[4:]))
		}
	}
	return ""
}

// Text returns the data as text, or nothing if they are not.
func (u UserToUser) Text() string {
	s := strings.Trim(string(u.Data), "\x00 \t\r\n")
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

// userToUser takes the first value that names a conversation. An id alone counts where
// its purpose is Google's or the trunk says so: the header carries all kinds of words.
func (l *Linker) userToUser(_ *Link, r Request) (found, bool) {
	if r.Headers == nil {
		return found{}, false
	}
	for _, u := range ParseUserToUser(r.Headers.Values("User-to-User")) {
		text := u.Text()
		if u.UCID != "" || text == "" {
			continue
		}
		f, ok := named(text, "User-to-User")
		google := strings.HasPrefix(strings.ToLower(u.Purpose), "goog-")
		if ok && (f.name != nil || l.bare || google) {
			return f, true
		}
	}
	return found{}, false
}

// ucid finds Avaya's id of the recorded call: in User-to-User, in the extension of an SBC
// that passes it on, in a header, or as the session's id.
func ucid(r Request) string {
	var values []string
	if r.Headers != nil {
		values = append(values, r.Headers.Values("User-to-User")...)
		values = append(values, r.Headers.Values("X-UCID")...)
	}
	for _, name := range []string{"apkt.ucid", "AvayaUCID", "apkt.header.User-to-User", "apkt.header.X-UCID"} {
		values = append(values, r.View.Field(name))
	}
	if r.View != nil {
		for _, s := range r.View.Document.Sessions {
			values = append(values, s.ID) // Avaya itself
		}
	}
	for _, v := range values {
		if digits, _, _ := strings.Cut(v, ";"); isUCID(digits) {
			return strings.TrimSpace(digits)
		}
		for _, u := range ParseUserToUser([]string{v}) {
			if u.UCID != "" {
				return u.UCID
			}
			if text := u.Text(); isUCID(text) {
				return text
			}
		}
	}
	return ""
}

const ucidDigits = 20

func isUCID(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) == ucidDigits && strings.Trim(s, "0123456789") == ""
}
